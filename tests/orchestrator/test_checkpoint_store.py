"""Generations of checkpoints: the newest whole one counts, whatever else is there."""

import pytest

from orchestrator.artifacts import sha256_of
from orchestrator.checkpoint_store import MANIFEST, generations, new_generation, publish_manifest, remove_all


def save(root, *, step: int, content: bytes = b"state"):
    folder = new_generation(root)
    folder.mkdir(parents=True)
    (folder / "rank-0.safetensors").write_bytes(content)
    publish_manifest(
        folder, step=step, layout="one rank", files={"rank-0.safetensors": sha256_of(folder / "rank-0.safetensors")}
    )
    return folder


def test_newest_counts_and_the_older_one_is_gone_once_it_does(tmp_path):
    first = save(tmp_path, step=3)
    second = new_generation(tmp_path)
    second.mkdir()
    (second / "rank-0.safetensors").write_bytes(b"half")
    assert [one.step for one in generations(tmp_path)] == [3], "not before its manifest"
    assert first.is_dir()
    third = save(tmp_path, step=9)
    assert [one.step for one in generations(tmp_path)] == [9]
    assert list(tmp_path.iterdir()) == [third]


def test_file_that_changed_is_refused(tmp_path):
    folder = save(tmp_path, step=3)
    [found] = generations(tmp_path)
    assert found.path("rank-0.safetensors") == folder / "rank-0.safetensors"
    (folder / "rank-0.safetensors").write_bytes(b"State")
    with pytest.raises(ValueError, match="not as it was written"):
        found.path("rank-0.safetensors")
    (folder / "rank-0.safetensors").unlink()
    with pytest.raises(ValueError, match="not as it was written"):
        found.path("rank-0.safetensors")
    with pytest.raises(ValueError, match="has no rank-1"):
        found.path("rank-1.safetensors")


@pytest.mark.parametrize("manifest", ["", "{", "[]", "{}", '{"version": 99}'])
def test_damaged_manifest_does_not_count(tmp_path, manifest):
    save(tmp_path, step=3)
    newer = new_generation(tmp_path)
    newer.mkdir()
    (newer / MANIFEST).write_text(manifest)
    assert [one.step for one in generations(tmp_path)] == [3]


def test_nothing_is_no_error(tmp_path):
    assert generations(tmp_path / "none") == []
    remove_all(tmp_path / "none")
