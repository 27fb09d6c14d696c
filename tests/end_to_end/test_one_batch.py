"""One batch of the demo through everything that may happen to it, on real processes.

Three videos. A launch on Ray finishes the first and is interrupted in the second (Ctrl-C). Two gangs of one rank go
on with the second and begin the third, and are asked to go (SIGTERM). The first command again goes on with the
second video; one of its two ranks is killed, the gang is built again, finishes the video, and is asked to go. A
fourth prompt is added, and torchrun finishes the rest. One process renders the first and the last elsewhere.
"""

import platform
import shlex
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import imageio.v3 as imageio
import pytest

from orchestrator.artifacts import VideoFolder, sha256_of
from orchestrator.devices import count_gpus

PROMPTS = [
    "a large red circle moving left on a dark blue background",
    "a large yellow triangle growing on a dark green background",
    "a large white ring, moving 'up' on a dark red background",
    "a large blue square moving right on a light pink background",
]
TWO_GANGS = ("parallel.ulysses=1", "cluster.num_gangs=2")
IN_THE_NEXT_VIDEO = ("done in", "denoise  step 4/50")

pytestmark = [
    pytest.mark.alone,
    pytest.mark.skipif(count_gpus() > 0, reason="the demo renders on the CPU; GPU runs have tests of their own"),
]


@dataclass(frozen=True, kw_only=True)
class Chapter:
    """One launch of the batch, and the finished videos' files before and after it."""

    ended: object
    before: dict
    after: dict

    @property
    def num_finished(self) -> int:
        return sum(name.endswith("video.json") for name in self.after)

    @property
    def num_added(self) -> int:
        """As its log says."""
        return sum("  done in " in line for line in self.ended.stderr.splitlines())

    @property
    def has_kept_its_books(self) -> bool:
        """What was finished is as it was; each video that the log calls done is there, with its three files."""
        kept = {name: state for name, state in self.after.items() if name in self.before}
        return kept == self.before and len(self.after) == len(self.before) + 3 * self.num_added


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("batch") / "run"


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def batch(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("prompts") / "prompts.txt"
    path.write_text("\n".join(PROMPTS[:-1]))  # the last is added for torchrun
    return path


@pytest.fixture(scope="module")
def arguments(batch, model_folder, run_folder) -> list[str]:
    steps_are_known = "forecast=spectrum"  # the demo's own error budget may choose others
    return ["+job=demo", steps_are_known, f"batch={batch}", f"model.path={model_folder}", f"output={run_folder}"]


@pytest.fixture(scope="module")
def chapter(watch, arguments, run_folder, state_of_finished, home):
    """Run the command until it has come to where it is to be disturbed, disturb it, and see how it ends."""

    def run(disturb, *more: str, until=IN_THE_NEXT_VIDEO) -> Chapter:
        before = state_of_finished(run_folder)
        watched = watch(*arguments, *more, HOME=str(home))
        watched.wait_for(*until)
        ended = watched.end(lambda: disturb(watched))
        return Chapter(ended=ended, before=before, after=state_of_finished(run_folder))

    return run


@pytest.fixture(scope="module")
def interrupted(chapter) -> Chapter:
    return chapter(lambda watched: watched.interrupt())


@pytest.fixture(scope="module")
def terminated(interrupted, chapter) -> Chapter:
    return chapter(
        lambda watched: watched.terminate(),
        *TWO_GANGS,
        until=("gang 0  ", "gang 1  ", "denoise  step 11/50"),
    )


@pytest.fixture(scope="module")
def rank_killed(terminated, chapter) -> Chapter:
    def kill_and_go_on(watched) -> None:
        watched.wait_for_process("ray::RankActor").kill()
        watched.wait_for("lost: rank", "ready on", "done in")
        watched.terminate()

    return chapter(kill_and_go_on, until=("ready on", "denoise  step"))


@pytest.fixture(scope="module")
def last_prompt_added(rank_killed, batch) -> None:
    batch.write_text("\n".join(PROMPTS))


@pytest.fixture(scope="module")
def torchrun(last_prompt_added, arguments, run_folder, state_of_finished, command_environment) -> Chapter:
    """Two ranks of torchrun, to the end."""
    before = state_of_finished(run_folder)
    done = subprocess.run(
        [
            *(Path(sys.executable).with_name("torchrun"), "--standalone", "--nproc-per-node=2"),
            *("-m", "orchestrator.launch", *arguments, "cluster=none"),
        ],
        cwd=run_folder,
        env=command_environment(),
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    return Chapter(ended=done, before=before, after=state_of_finished(run_folder))


@pytest.fixture(scope="module")
def alone(launch_many, arguments, tmp_path_factory) -> dict:
    """One process, in a folder of its own: the first video and the last."""
    folder = tmp_path_factory.mktemp("alone")
    batch = folder / "prompts.txt"
    batch.write_text(f"{PROMPTS[0]}\n{PROMPTS[-1]}\n")
    last_words = ("cluster=none", "parallel=auto", f"batch={batch}", f"output={folder}/run")
    [answer] = launch_many([[*arguments, *last_words]])
    return answer | {"folder": folder / "run"}


def videos(folder: Path) -> dict[str, str]:
    """sha256 of each finished video by id."""
    return {record.parent.name: sha256_of(record.parent / "video.mp4") for record in folder.glob("*/video.json")}


def test_ctrl_c_ends_the_launch_in_time_with_its_own_status(interrupted):
    assert interrupted.ended.status == 130
    assert interrupted.ended.seconds < 5
    assert interrupted.ended.stderr.splitlines()[-1].startswith("interrupted: ")
    assert "Traceback" not in interrupted.ended.stderr


def test_ctrl_c_leaves_no_process(interrupted):
    assert interrupted.ended.saw_session and interrupted.ended.saw_processes > 4
    assert interrupted.ended.left == []


def test_finished_video_is_kept_when_interrupted(interrupted):
    assert interrupted.num_finished == interrupted.num_added == 1
    assert interrupted.has_kept_its_books


def test_sigterm_ends_the_launch_in_time_with_a_status_of_its_own(terminated):
    assert terminated.ended.status == 75
    assert terminated.ended.seconds < 5
    assert terminated.ended.stderr.splitlines()[-1].startswith("asked to end: ")
    assert "Traceback" not in terminated.ended.stderr


def test_sigterm_leaves_no_process(terminated):
    assert terminated.ended.saw_session and terminated.ended.saw_processes > 4
    assert terminated.ended.left == []


def test_two_gangs_were_at_work_on_two_videos_and_the_finished_one_was_not_touched(interrupted, terminated):
    """On another layout than the one that the batch was begun with."""
    lines = [line for line in terminated.ended.stderr.splitlines() if "  denoise  " in line]
    assert {tuple(line.split()[1:3]) for line in lines} == {("gang", "0"), ("gang", "1")}
    assert len({line.split()[3] for line in lines}) == 2
    assert "3 videos, 1 of them done" in terminated.ended.stderr
    assert terminated.before == interrupted.after
    assert terminated.has_kept_its_books


def test_gang_of_a_killed_rank_is_built_again_and_the_batch_goes_on(rank_killed):
    is_all_done = rank_killed.num_finished == len(PROMPTS) - 1  # before it heard that it should go
    assert rank_killed.ended.status == 75 or (is_all_done and rank_killed.ended.status == 0)
    assert "Traceback" not in rank_killed.ended.stderr
    assert rank_killed.num_added >= 1
    assert rank_killed.has_kept_its_books


def test_log_names_the_rank_that_died_and_its_machine(rank_killed):
    [line] = [line for line in rank_killed.ended.stderr.splitlines() if "lost: " in line]
    assert f"on {platform.node()} died" in line and "gang 0" in line


def test_killed_rank_leaves_no_process(rank_killed):
    assert rank_killed.ended.saw_session and rank_killed.ended.saw_processes > 4
    assert rank_killed.ended.left == []


def test_same_command_goes_on_where_it_was_interrupted_and_keeps_what_it_finished(terminated, rank_killed):
    assert f"3 videos, {terminated.num_finished} of them done" in rank_killed.ended.stderr
    assert rank_killed.before == terminated.after


def test_torchrun_finishes_the_batch_that_ray_began(rank_killed, torchrun):
    assert torchrun.ended.returncode == 0, torchrun.ended.stderr
    assert torchrun.before == rank_killed.after
    assert torchrun.num_finished == 4
    assert torchrun.has_kept_its_books
    for prompt in PROMPTS:
        assert prompt in torchrun.ended.stderr, "a line for each video in the table"
    assert torchrun.ended.stderr.count("4 videos in ") == 1, "one rank alone reports"


def test_ray_torchrun_and_one_process_give_the_same_bytes(torchrun, alone, run_folder):
    """The first video is that of a gang of two on Ray, the last that of two ranks of torchrun."""
    assert alone["status"] == 0, alone["stderr"]
    assert len(set(videos(run_folder).values())) == 4
    assert len(videos(alone["folder"])) == 2
    assert videos(alone["folder"]).items() <= videos(run_folder).items()


def test_videos_are_what_the_configuration_says(torchrun, run_folder):
    for name in videos(run_folder):
        metadata = imageio.immeta(run_folder / name / "video.mp4", plugin="FFMPEG")
        assert (metadata["size"], metadata["fps"]) == ((96, 96), 8)


def test_records_name_prompt_layout_and_the_command_that_can_be_typed_again(torchrun, run_folder, arguments):
    records = [VideoFolder(run_folder / name).read_sidecar() for name in videos(run_folder)]
    commands = {record["request"]["prompt"]: shlex.split(record["provenance"]["command"]) for record in records}
    assert commands.keys() == set(PROMPTS)
    by_ray = ["-m", "orchestrator.launch", *arguments]
    by_torchrun = ["-u", *by_ray, "cluster=none"]
    assert commands[PROMPTS[0]][1:] == by_ray
    assert all(command[1:] in (by_ray, [*by_ray, *TWO_GANGS], by_torchrun) for command in commands.values())
    ranks = {record["request"]["prompt"]: record["layout"]["ranks"] for record in records}
    assert ranks[PROMPTS[0]] == 2


def test_videos_that_were_broken_off_went_on_from_their_checkpoints_and_say_so(torchrun, run_folder):
    records = [VideoFolder(run_folder / name).read_sidecar() for name in videos(run_folder)]
    resumed = {record["request"]["prompt"]: record["resumed"] for record in records}
    assert resumed[PROMPTS[0]] == []
    assert any("(latents)" in one for one in resumed[PROMPTS[1]]), "its first gang had another layout"


def test_nothing_is_left_in_the_run_folder_but_videos(torchrun, run_folder):
    embeddings = run_folder / ".embeddings"
    left = [path for path in run_folder.rglob("*") if path.name.startswith((".", "latents"))]
    assert left == [embeddings]
    assert {path.suffix for path in embeddings.iterdir()} == {".safetensors"}
    assert len(list(run_folder.rglob("*.mp4"))) == 4


def test_nothing_is_left_in_the_home_folder(torchrun, home):
    """Such as a token of Ray's."""
    assert [path for path in home.rglob("*") if path.is_file()] == []


def test_without_ray_none_is_imported_and_the_encoder_is_the_only_helper(alone):
    """The control of the tests on bad input: here the libraries are imported, and processes started."""
    assert {"diffusers", "transformers", "imageio", "torch"} <= set(alone["imported"])
    assert "ray" not in alone["imported"]
    assert alone["started"]
