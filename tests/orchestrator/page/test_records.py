"""What the page is told: nothing ends a script, and no record is too old or too strange."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.artifacts import RunFolder
from orchestrator.page.records import details_of, read_json, script_value, summary_of
from orchestrator.run_status import Failure, State, VideoStatus

VIDEO_ID = "0123456789abcdef"
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)


@given(JSON)
def test_value_is_ascii_on_one_line_without_a_tag_and_means_the_same(value):
    said = script_value(value)
    assert said.isascii() and said.isprintable() and "<" not in said
    assert json.loads(said) == value


@given(st.dictionaries(st.sampled_from(["request", "seconds", "provenance", "estimated_speedup", "plan", "x"]), JSON))
def test_sidecar_of_any_kind_makes_a_line(sidecar):
    line = summary_of(VideoStatus(video_id=VIDEO_ID, state=State.DONE), sidecar)
    assert (line["id"], line["state"]) == (VIDEO_ID, "done")
    details_of(State.DONE, sidecar)


def test_failure_is_part_of_the_line():
    video = VideoStatus(
        video_id=VIDEO_ID, state=State.FAILED, prompt="a ring", failure=Failure(error="no room", attempts=3)
    )
    assert summary_of(video, None) == {
        "id": VIDEO_ID,
        "state": "failed",
        "prompt": "a ring",
        "error": "no room",
        "attempts": 3,
    }


@pytest.mark.parametrize("text", [None, "", "[]", "{", "\xff"])
def test_record_that_cannot_be_read_is_none(tmp_path, text):
    folder = RunFolder(tmp_path).video(VIDEO_ID)
    folder.root.mkdir()
    if text is not None:
        folder.sidecar.write_bytes(text.encode("latin-1"))
    assert read_json(folder, State.DONE) is None
    assert details_of(State.DONE, None) == {"sidecar": None, "command": None}
