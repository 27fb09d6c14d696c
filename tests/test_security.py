"""Whatever a manifest's prompts and names hold: files are written to the output folder alone, and nothing is started.

The system's own audit says what was opened, made, renamed, removed and started; control cases show that it does.
"""

import os
import shutil
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import imageio_ffmpeg
import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from orchestrator.artifacts import RunFolder
from orchestrator.attempts import Attempts, note_failure, set_aside
from orchestrator.batch import BatchEntry
from orchestrator.launch_record import publish_entries
from orchestrator.request import Request, video_id
from orchestrator.sidecar import Provenance
from orchestrator.status import main as status
from orchestrator.video_files import write_files
from spectrum import ForecastSettings

HOSTILE = [
    *("../../etc/passwd", "/etc/passwd", "..", "a/b", "~root", "C:\\con", ".", "\0", "a\0b", "\n", "x" * 5000),
    *("$(touch hacked)", "`touch hacked`", "; touch hacked", "| touch hacked", "-rf", "--help", "-i /etc/passwd"),
    *(
        "%(asctime)s %n {0.__class__}",
        "${oc.env:HOME}",
        "[link=file:///etc/passwd]x[/link]",
        "\x1b]0;x\x07",
        "\ud7ff",
    ),
]
texts = st.sampled_from(HOSTILE) | st.text(st.characters(exclude_categories=["Cs"]), min_size=1)
WRITES = {
    "os.mkdir": 0,
    "os.rename": 1,
    "os.link": 1,
    "os.symlink": 1,
    "os.remove": 0,
    "os.rmdir": 0,
    "os.truncate": 0,
}
"""Events of the audit that change files, and which of their arguments is the path."""
STARTS = ("subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "os.spawn", "os.startfile", "pty.spawn")
_books: list["Books"] = []


class Books:
    """What was written and started."""

    def __init__(self) -> None:
        self.written: set[str] = set()
        self.started: list[list[str]] = []

    def note(self, event: str, arguments: tuple) -> None:
        if event == "open" and isinstance(arguments[0], str | bytes) and arguments[2] & (os.O_WRONLY | os.O_RDWR):
            self.written.add(os.path.realpath(os.fsdecode(arguments[0])))
        elif event in WRITES and not isinstance(arguments[WRITES[event]], int):
            self.written.add(os.path.realpath(os.fsdecode(arguments[WRITES[event]])))
        elif event in STARTS:
            command = arguments[1] if event == "subprocess.Popen" else arguments
            self.started.append([os.fsdecode(one) for one in command])


def _audit(event: str, arguments: tuple) -> None:
    for books in _books:
        books.note(event, arguments)


sys.addaudithook(_audit)


@contextmanager
def audited():
    books = Books()
    _books.append(books)
    try:
        yield books
    finally:
        _books.remove(books)


def request_of(prompt: str) -> Request:
    return Request(
        **{"prompt": prompt, "negative_prompt": prompt, "seed": 0, "height": 16, "width": 16, "num_frames": 1},
        **{"fps": 8, "num_steps": 4, "guidance_scale": 5.0, "flow_shift": 3.0, "forecast": ForecastSettings()},
    )


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(name=texts, prompt=texts)
def test_all_files_of_a_video_lie_in_the_output_folder_and_nothing_but_the_encoder_is_started(
    tmp_path, name, prompt, capsys
):
    output = tmp_path / "output"
    run_folder, request = RunFolder(output), request_of(prompt)
    entry = BatchEntry(
        video_id=video_id(request, model_fingerprint="m", dtype="float32"), request=request, name=name, priority=0
    )
    folder = run_folder.video(entry.video_id)
    provenance = Provenance(job_name="demo", command="pytest", git_revision=None)
    with audited() as books:
        publish_entries(run_folder, "all", [entry], provenance)
        write_files(folder, np.zeros((1, 16, 16, 3), np.uint8), request)
        note_failure(folder, Attempts(), step=0)
        set_aside(folder, attempts=1, cause=prompt, details=prompt)
        assert status([str(output)]) == status([str(output), "--json"]) == 0
    capsys.readouterr()
    assert {path for path in books.written if not _is_below(path, output)} <= {os.devnull}
    assert folder.video.is_file() and str(folder.video.resolve()).startswith(str(output.resolve()))
    assert books.started and {command[0] for command in books.started} == {imageio_ffmpeg.get_ffmpeg_exe()}
    for command in books.started:
        assert all(prompt not in argument for argument in command if len(prompt) > 20)
    shutil.rmtree(output)


def _is_below(path: str, folder: Path) -> bool:
    return Path(path) == folder.resolve() or folder.resolve() in Path(path).parents


def test_audit_sees_what_is_written_and_started(tmp_path):
    """The control."""
    with audited() as books:
        (tmp_path / "made").mkdir()
        (tmp_path / "written").write_text("x")
        (tmp_path / "written").rename(tmp_path / "renamed")
        subprocess.run(["true", "argument"], check=True)
    assert {Path(path).name for path in books.written} >= {"made", "written", "renamed"}
    assert ["true", "argument"] in books.started
