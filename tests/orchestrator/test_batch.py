"""Entries of a batch, and the parts that shards take."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.batch import Shard, name_entries, parse_shard, part_of, shard_named
from orchestrator.errors import BadInput
from orchestrator.launch_plan import plan_launch
from orchestrator.row_requests import Draft

ids = st.text("0123456789abcdef", min_size=16, max_size=16)


def entries_of(*drafts):
    return name_entries([Draft(*draft) for draft in drafts], model_fingerprint="m", dtype="float32")


def test_rows_that_say_the_same_are_one_video_with_the_first_name_and_the_highest_priority(make_request):
    same = make_request(prompt="same")
    entries = entries_of((same, None, 1), (make_request(prompt="other"), "x", 0), (same, "first", 5), (same, "b", -1))
    assert [(entry.request.prompt, entry.name, entry.priority) for entry in entries.values()] == [
        ("same", "first", 5),
        ("other", "x", 0),
    ]
    assert all(video_id == entry.video_id for video_id, entry in entries.items())


def test_neither_name_nor_priority_changes_the_id(make_request):
    assert entries_of((make_request(), None, 0)).keys() == entries_of((make_request(), "a", 9)).keys()


def test_urgent_videos_come_first_and_others_in_order(make_request):
    requests = [make_request(seed=seed) for seed in range(5)]
    entries = entries_of(*((request, None, seed % 2) for seed, request in enumerate(requests)))
    assert [entry.request.seed for entry in part_of(entries, Shard()).values()] == [1, 3, 0, 2, 4]


@given(count=st.integers(1, 50), video_id=ids)
def test_each_video_is_in_exactly_one_shard(count, video_id):
    assert sum(Shard(index, count).takes(video_id) for index in range(1, count + 1)) == 1


def test_shards_part_a_batch_share_its_folder_and_rows_that_are_added_move_none(config, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    config.prompt, config.batch, config.output = None, str(tmp_path / "rows.txt"), None
    rows = [f"video {index}" for index in range(40)]

    def plans(rows):
        (tmp_path / "rows.txt").write_text("\n".join(rows))
        found = []
        for shard in ("1/3", "2/3", "3/3"):
            config.job.shard = shard
            found.append(plan_launch(config))
        return found

    before = plans(rows)
    config.job.shard = None
    whole = plan_launch(config)
    assert {plan.run_folder.root for plan in before} == {whole.run_folder.root}
    assert sorted(name for plan in before for name in plan.entries) == sorted(whole.entries)
    assert all(plan.entries for plan in before)
    for old, new in zip(before, plans(["new", *reversed(rows)]), strict=True):
        assert old.entries.keys() <= new.entries.keys()


def test_shard_may_be_empty(config):
    sizes = []
    for index in range(1, 4):
        config.job.shard = f"{index}/3"
        sizes.append(len(plan_launch(config).entries))
    assert sorted(sizes) == [0, 0, 1]


@pytest.mark.parametrize(
    "text", ["", "3", "0/4", "5/4", "-1/4", "1/0", "a/b", "1/4/2", "1.5/4", "1/99999", "٣/٤", "1 /4"]
)
def test_nonsense_is_refused(text):
    with pytest.raises(BadInput, match=r"job\.shard=.* must be i/n"):
        parse_shard(text)


def test_whole_batch_is_the_default():
    assert parse_shard(None) == parse_shard("1/1") == Shard()
    assert (str(Shard()), str(Shard(3, 16))) == ("all", "3-of-16")


@given(index=st.integers(1, 12), count=st.integers(1, 12), other=st.integers(1, 12), others=st.integers(1, 12))
def test_shards_overlap_where_a_video_may_be_in_both(index, count, other, others):
    one, two = Shard(min(index, count), count), Shard(min(other, others), others)
    ids = [f"{number:x}" for number in range(count * others)]
    assert one.overlaps(two) == two.overlaps(one) == any(one.takes(name) and two.takes(name) for name in ids)
    assert (shard_named(str(one)), shard_named(str(two))) == (one, two)
