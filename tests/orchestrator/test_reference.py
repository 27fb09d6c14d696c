"""Which videos are rendered again with all rounds full, and as what."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from planning import refusal_of

from orchestrator.batch import BatchEntry, Shard, part_of
from orchestrator.config import QualityConfig
from orchestrator.launch_plan import plan_launch
from orchestrator.reference import plan_references
from orchestrator.request import video_id
from orchestrator.role import Role
from spectrum import ForecastSettings, Method

MODEL = {"model_fingerprint": "m", "dtype": "float32"}
FULL = ForecastSettings(method=Method.NONE)


def batch_of(requests) -> dict[str, BatchEntry]:
    ids = [video_id(request, **MODEL) for request in requests]
    return {key: BatchEntry(key, request) for key, request in zip(ids, requests, strict=True)}


def planned(batch, count, *, shard=Shard(), noise_floor=True):  # noqa: B008
    return plan_references(batch, shard, QualityConfig(reference=count, noise_floor=noise_floor), **MODEL)


@pytest.fixture
def batch(make_request):
    return batch_of([make_request(prompt=f"video {index}") for index in range(10)])


def test_references_are_the_same_requests_with_all_rounds_full(batch):
    references = planned(batch, 2)
    for pair in references.pairs:
        request = batch[pair.video_id].request
        assert references.entries[pair.reference].request == replace(request, forecast=FULL)
        assert references.entries[pair.noise_floor].request == replace(request, forecast=FULL, rounded_noise=True)
    roles = [entry.role for entry in references.entries.values()]
    assert roles == [Role.REFERENCE, Role.NOISE_FLOOR] * 2


def test_they_are_spread_over_the_batch(batch):
    chosen = [pair.video_id for pair in planned(batch, 5).pairs]
    assert chosen == list(batch)[::2]


@pytest.mark.parametrize("count", [10, 11, 10**9])
def test_more_than_the_batch_are_all_of_it(batch, count):
    assert [pair.video_id for pair in planned(batch, count).pairs] == list(batch)


def test_without_the_noise_floor_each_is_rendered_once(batch):
    references = planned(batch, 3, noise_floor=False)
    assert len(references.entries) == 3
    assert {pair.noise_floor for pair in references.pairs} == {None}


def test_they_come_after_every_video_of_the_batch(batch):
    [first, *_] = batch
    batch[first] = replace(batch[first], priority=-7)
    assert {entry.priority for entry in planned(batch, 2).entries.values()} == {-8}


def test_nothing_is_rendered_twice(make_request):
    """Two forecasts of one video have one reference, and one that the batch itself asks for is not rendered apart."""
    batch = batch_of(
        [make_request(), make_request(forecast=ForecastSettings(growth=3.0)), make_request(forecast=FULL)]
    )
    references = planned(batch, 5, noise_floor=False)
    assert [pair.video_id for pair in references.pairs] == list(batch)[:2]
    assert {pair.reference for pair in references.pairs} == {list(batch)[2]}
    assert references.entries == {}


@settings(max_examples=40)
@given(size=st.integers(1, 30), count=st.integers(1, 40), shards=st.integers(1, 5))
def test_shards_render_together_what_one_launch_would(make_request, size, count, shards):
    batch = batch_of([make_request(prompt=f"{index}") for index in range(size)])
    whole = planned(batch, count)
    parts = [planned(batch, count, shard=Shard(index + 1, shards)) for index in range(shards)]
    assert sorted(pair.video_id for part in parts for pair in part.pairs) == sorted(
        pair.video_id for pair in whole.pairs
    )
    for index, part in enumerate(parts):
        assert {pair.video_id for pair in part.pairs} <= part_of(batch, Shard(index + 1, shards)).keys()
    rendered = [name for part in parts for name in part.entries]
    assert sorted(rendered) == sorted(whole.entries), "each once"


def test_plan_counts_them_apart(config):
    config.quality.reference = 1
    plan = plan_launch(config)
    assert len(plan.entries) == len(plan.requests) == 1
    assert len(plan.references.entries) == 2
    assert list(plan.renders) == [*plan.entries, *plan.references.entries]
    [reference, _] = plan.references.entries
    assert plan.run_folder.video(reference).root == plan.run_folder.root / "references" / reference


def test_references_change_neither_the_videos_nor_the_default_folder(config):
    config.output = None
    before = plan_launch(config)
    config.quality.reference = 1
    after = plan_launch(config)
    assert after.entries == before.entries
    assert after.run_folder.root == before.run_folder.root


def test_negative_number_is_refused(config):
    config.quality.reference = -1
    assert "quality.reference=-1 must be at least 0" in refusal_of(config)


def test_batch_without_forecasts_has_nothing_to_compare(config):
    config.quality.reference, config.forecast.method = 2, "none"
    assert "quality.reference=2 but all rounds of the batch are full already" in refusal_of(config)
