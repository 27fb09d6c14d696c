"""Results outlive the process that made them, and belong to one content."""

from dataclasses import replace

import numpy as np

from benchmarks.quality_regimes import PLAIN
from benchmarks.quality_rows import REFERENCE
from benchmarks.quality_store import Store

[BASE] = PLAIN.requests(1)


def test_results_are_read_back_by_key(tmp_path):
    store = Store(tmp_path, "model")
    assert store.read() == {}
    store.append({"key": "a", "psnr": 31.5})
    store.append({"key": "b", "psnr": 20.0})
    assert Store(tmp_path, "model").read() == {"a": {"key": "a", "psnr": 31.5}, "b": {"key": "b", "psnr": 20.0}}


def test_a_line_that_was_cut_off_is_no_result(tmp_path):
    store = Store(tmp_path, "model")
    store.append({"key": "a"})
    file = tmp_path / "results.jsonl"
    file.write_text(file.read_text() + '{"key": "b", "psn')
    assert set(store.read()) == {"a"}


def test_keys_follow_request_row_and_model(tmp_path):
    store = Store(tmp_path, "model")
    keys = {
        store.key(REFERENCE, BASE),
        store.key(REFERENCE, replace(BASE, seed=1)),
        store.key(replace(REFERENCE, ring=2), BASE),
        Store(tmp_path, "another").key(REFERENCE, BASE),
    }
    assert len(keys) == 4
    assert store.key(replace(REFERENCE, method="another name"), BASE) == store.key(REFERENCE, BASE)


def test_frames_are_kept_whole(tmp_path):
    store = Store(tmp_path, "model")
    frames = np.arange(2 * 4 * 4 * 3, dtype=np.uint8).reshape(2, 4, 4, 3)
    assert store.frames("a") is None
    store.keep_frames("a", frames)
    np.testing.assert_array_equal(store.frames("a"), frames)
    assert [file.name for file in (tmp_path / "references").iterdir()] == ["a.npz"]
