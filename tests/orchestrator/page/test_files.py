"""The page's files: whole, and written anew only as far as something has changed."""

import json
import re
from html.parser import HTMLParser

import pytest
from page_runs import shown

from benchmarks.page_run import make_run, prompts_of
from orchestrator.artifacts import RunFolder, publish_json
from orchestrator.errors import BadInput
from orchestrator.page.files import PageFiles, page_html
from orchestrator.run_status import read_run


@pytest.fixture
def run_folder(tmp_path):
    make_run(tmp_path / "run", prompts_of(40))
    return RunFolder(tmp_path / "run")


def details(run_folder, video_id) -> dict:
    script = run_folder.page_details(video_id[:2]).read_text()
    return json.loads(script.removeprefix("runPage.details(").rstrip().removesuffix(");"))[video_id]


def times(run_folder) -> dict[str, int]:
    return {path.name: path.stat().st_mtime_ns for path in run_folder.page_videos.parent.iterdir()}


def test_every_video_has_a_line_and_its_details(run_folder):
    PageFiles(run_folder).write()
    head, videos = shown(run_folder)
    assert head["name"] == "run" and head["pairs"] == {}
    assert [video["prompt"] for video in videos] == prompts_of(40)
    for video in videos:
        record = run_folder.video(video["id"]).read_sidecar()
        assert (video["state"], video["full"], video["seed"]) == (
            "done",
            record["num_full_rounds"],
            record["request"]["seed"],
        )
        found = details(run_folder, video["id"])
        assert found["sidecar"] == record
        assert f"seed={video['seed']}" in found["command"]


def test_only_what_has_changed_is_written_anew(run_folder):
    files = PageFiles(run_folder)
    *_, last = list(read_run(run_folder.root).videos)
    record, hidden = run_folder.video(last).sidecar, run_folder.root / "hidden"
    record.rename(hidden)
    files.write()
    before, page = times(run_folder), run_folder.page.stat().st_mtime_ns
    assert shown(run_folder)[1][-1]["state"] == "waiting"
    hidden.rename(record)
    files.write()
    after = times(run_folder)
    assert {name for name in after if after[name] != before.get(name)} == {"videos.js", f"{last[:2]}.js"}
    assert run_folder.page.stat().st_mtime_ns == page
    assert shown(run_folder)[1][-1]["state"] == "done"


def test_video_that_has_failed_and_is_tried_again_is_shown_as_it_is(run_folder):
    files = PageFiles(run_folder)
    [first, *_] = read_run(run_folder.root).videos
    folder = run_folder.video(first)
    record = folder.sidecar.read_text()
    folder.sidecar.unlink()
    publish_json(folder.failure, {"error": "ValueError: no", "attempts": 3, "traceback": "…"})
    files.write()
    assert shown(run_folder)[1][0]["error"] == "ValueError: no"
    assert details(run_folder, first)["failure"]["traceback"] == "…"
    folder.failure.unlink()
    folder.sidecar.write_text(record)
    files.write()
    assert shown(run_folder)[1][0]["state"] == "done"


def test_shards_are_merged_whoever_writes(tmp_path):
    root = tmp_path / "run"
    make_run(root, prompts_of(5), shard="1-of-2")
    make_run(root, [f"{prompt}, again" for prompt in prompts_of(4)], shard="2-of-2")
    PageFiles(RunFolder(root)).write(is_last=True)
    head, videos = shown(RunFolder(root))
    assert [launch["shard"] for launch in head["launches"]] == ["1-of-2", "2-of-2"]
    assert len(videos) == 9


def test_last_look_sees_what_another_shard_has_finished_meanwhile(tmp_path, monkeypatch):
    root = tmp_path / "run"
    make_run(root, prompts_of(3), shard="1-of-2")
    [other] = make_run(root, ["of another shard"], shard="2-of-2")
    run_folder, hidden = RunFolder(root), root / "hidden"
    record = run_folder.video(other).sidecar
    record.rename(hidden)
    files = PageFiles(run_folder)
    write_page = files._write_page

    def finish_meanwhile():
        if hidden.exists():
            hidden.rename(record)
        write_page()

    monkeypatch.setattr(files, "_write_page", finish_meanwhile)
    files.write(is_last=True)
    assert {video["state"] for video in shown(run_folder)[1]} == {"done"}


def test_page_of_another_version_is_replaced(run_folder):
    run_folder.page.write_text("of an older version")
    PageFiles(run_folder).write()
    assert run_folder.page.read_text() == page_html()


def test_nothing_half_written_is_left(run_folder):
    PageFiles(run_folder).write()
    assert list(run_folder.root.rglob(".tmp-*")) == []


def test_folder_that_is_no_run_is_refused_and_not_touched(tmp_path):
    with pytest.raises(BadInput, match="is no run"):
        PageFiles(RunFolder(tmp_path)).write()
    assert list(tmp_path.iterdir()) == []


class References(HTMLParser):
    """What a page refers to."""

    def __init__(self):
        super().__init__()
        self.found, self.tags = [], []

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.found += [value for name, value in attributes if name in ("src", "href", "srcset", "action")]


def test_page_needs_nothing_but_itself_and_its_data():
    html = page_html()
    references = References()
    references.feed(html)
    assert all(one.startswith(("#", "data:")) for one in references.found)
    assert references.tags.count("script") == references.tags.count("style") == 1
    assert not re.search(r"@import|url\(|https?://(?!www\.w3\.org)", html)


def test_page_lets_no_other_script_run():
    [policy] = re.findall(r'Content-Security-Policy" content="([^"]+)"', page_html())
    rules = dict(rule.split(maxsplit=1) for rule in policy.split("; "))
    assert rules["default-src"] == "'none'" and "connect-src" not in rules
    assert "unsafe" not in policy
    assert rules["script-src"].split()[1:] == ["'self'", "file:"]


def test_scripts_make_no_markup_of_text():
    html = page_html()
    for way in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "new Function"):
        assert way not in html
