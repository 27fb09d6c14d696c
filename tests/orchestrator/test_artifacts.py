"""Files are absent or whole, whatever happens to the process that writes them."""

import json
import multiprocessing
import os
import signal
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.artifacts import RunFolder, VideoFolder, publish, publish_json, replace_json, sha256_of
from orchestrator.errors import BadInput


def test_published_file_is_whole_and_nothing_else_is_there(tmp_path):
    path = tmp_path / "deep" / "down" / "video.mp4"
    with publish(path) as temporary:
        temporary.write_bytes(b"frames")
        assert not path.exists()
        assert temporary.parent == path.parent
        assert temporary.suffix == ".mp4"
    assert path.read_bytes() == b"frames"
    assert list(path.parent.iterdir()) == [path]
    assert path.stat().st_mode & 0o777 == 0o644


def test_publishing_again_replaces_the_file(tmp_path):
    for content in ("one", "two"):
        with publish(tmp_path / "file.json") as temporary:
            temporary.write_text(content)
    assert (tmp_path / "file.json").read_text() == "two"


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
def test_writer_that_fails_leaves_nothing(tmp_path, error):
    with pytest.raises(error), publish(tmp_path / "video.mp4") as temporary:
        temporary.write_bytes(b"half of the fra")
        raise error
    assert list(tmp_path.iterdir()) == []


def test_writer_that_fails_leaves_the_file_of_before(tmp_path):
    path = tmp_path / "video.mp4"
    path.write_bytes(b"before")
    with pytest.raises(ValueError), publish(path) as temporary:
        temporary.write_bytes(b"half")
        raise ValueError
    assert path.read_bytes() == b"before"


@pytest.mark.parametrize("moment", ["in the middle", "before the rename"])
def test_killed_writer_leaves_no_file_under_the_final_name(tmp_path, moment):
    """A real process, killed for real."""
    code = (
        "import os, signal, sys\n"
        "from pathlib import Path\n"
        "from orchestrator import artifacts\n"
        "def die(*_): os.kill(os.getpid(), signal.SIGKILL)\n"
        "if sys.argv[2] == 'before the rename': artifacts._flush = die\n"
        "with artifacts.publish(Path(sys.argv[1])) as temporary:\n"
        "    temporary.write_bytes(b'half')\n"
        "    if sys.argv[2] == 'in the middle': die()\n"
    )
    path = tmp_path / "video.mp4"
    killed = subprocess.run([sys.executable, "-c", code, str(path), moment], check=False)
    assert killed.returncode == -signal.SIGKILL
    assert not path.exists()
    assert not VideoFolder(tmp_path).is_done


def test_many_writers_of_one_file_leave_one_whole_file(tmp_path):
    path = tmp_path / "file.json"
    values = [{"writer": writer, "text": str(writer) * 5000} for writer in range(8)]
    fork = multiprocessing.get_context("fork")
    writers = [fork.Process(target=publish_json, args=(path, value)) for value in values]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert json.loads(path.read_text()) in values
    assert list(tmp_path.iterdir()) == [path]


@given(st.recursive(st.none() | st.integers() | st.text(st.characters(exclude_categories=["Cs"])), st.lists))
def test_json_comes_back_as_it_was(tmp_path_factory, value):
    path = tmp_path_factory.getbasetemp() / "value.json"
    publish_json(path, value)
    assert json.loads(path.read_text(encoding="utf-8")) == value


def test_sha256_is_that_of_the_content(tmp_path):
    (tmp_path / "empty").write_bytes(b"")
    assert sha256_of(tmp_path / "empty") == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


@pytest.mark.parametrize(
    ("files", "is_done"),
    [
        ([], False),
        (["video.mp4"], False),
        (["video.mp4", "preview.png"], False),
        (["video.json"], False),
        (["video.mp4", "preview.png", "video.json"], True),
    ],
    ids=str,
)
def test_sidecar_beside_the_video_means_done(tmp_path, files, is_done):
    for name in files:
        (tmp_path / name).touch()
    assert VideoFolder(tmp_path).is_done == is_done


def test_folder_of_that_name_is_no_sidecar(tmp_path):
    (tmp_path / "video.mp4").touch()
    (tmp_path / "video.json").mkdir()
    assert not VideoFolder(tmp_path).is_done


def test_videos_have_folders_of_their_own(tmp_path):
    folder = RunFolder(tmp_path).video("0123456789abcdef")
    assert folder.root == tmp_path / "0123456789abcdef"
    assert {folder.video.name, folder.preview.name, folder.sidecar.name} == {"video.mp4", "preview.png", "video.json"}


@pytest.mark.parametrize(
    "name",
    ["", ".", "..", "../abc", "/etc", "abc/def", "abc\n", "\nabc", "ABC", "abc\x00", "a b", "ａｂｃ", "٣", "0x1f"],
)
def test_hostile_ids_are_refused(tmp_path, name):
    with pytest.raises(ValueError, match="video id"):
        RunFolder(tmp_path).video(name)


@given(name=st.text())
def test_no_id_leads_out_of_the_run_folder(tmp_path_factory, name):
    run_folder = RunFolder(tmp_path_factory.getbasetemp())
    try:
        folder = run_folder.video(name)
    except ValueError:
        return
    assert folder.root.parent == run_folder.root
    assert folder.root.name == name


def test_check_leaves_nothing_behind(tmp_path):
    RunFolder(tmp_path / "a" / "b").check_writable()
    assert list(tmp_path.iterdir()) == []


def test_output_below_a_file_is_refused(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(BadInput, match=f"output={tmp_path}/file/run cannot be made: {tmp_path}/file is not a folder"):
        RunFolder(tmp_path / "file" / "run").check_writable()


def test_output_that_is_a_file_is_refused(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(BadInput, match="is not a folder"):
        RunFolder(tmp_path / "file").check_writable()


@pytest.fixture
def locked():
    """A folder that all may enter and nobody may write to; pytest's own folders let nobody else in."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o555)
        yield folder


def test_output_without_permission_is_refused(locked):
    """In a process without a superuser's rights, which may write everywhere."""

    def check() -> None:
        if os.getuid() == 0:
            os.setuid(65534)
        try:
            RunFolder(locked / "run").check_writable()
        except BadInput as error:
            refused = "cannot be written: no permission" in str(error)
            os._exit(0 if refused else 2)
        os._exit(1)

    process = multiprocessing.get_context("fork").Process(target=check)
    process.start()
    process.join()
    assert process.exitcode == 0


def test_launch_files_are_found_by_shard_and_nothing_else_is(tmp_path):
    run_folder = RunFolder(tmp_path)
    assert run_folder.launched_shards() == []
    for shard in ("all", "10-of-16", "2-of-3"):
        publish_json(run_folder.launch_entries(shard), {})
        replace_json(run_folder.launch_progress(shard), {})
    for name in ("..jsonl", "x.jsonl", ".tmp-abc.jsonl", "1-of-2.txt"):
        (run_folder.launches / name).touch()
    assert run_folder.launched_shards() == ["10-of-16", "2-of-3", "all"]


def test_folders_of_videos_are_found_and_nothing_else_is(tmp_path):
    for name in ("0123456789abcdef", "ab", "launches", ".embeddings", ".tmp-1", "x1"):
        (tmp_path / name).mkdir()
    assert RunFolder(tmp_path).video_ids() == {"0123456789abcdef", "ab"}
    assert RunFolder(tmp_path / "none").video_ids() == set()


def test_file_that_is_replaced_is_whole_at_any_moment(tmp_path):
    path = tmp_path / "deep" / "progress.json"
    for value in ("one", "two"):
        replace_json(path, value)
        assert json.loads(path.read_text()) == value
    assert list(path.parent.iterdir()) == [path]
