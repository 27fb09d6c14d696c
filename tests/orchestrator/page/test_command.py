"""The page by hand, and of real launches."""

import shutil
import subprocess
import sys

from page_runs import render, shown, tiny

from orchestrator.artifacts import RunFolder
from orchestrator.launch_plan import plan_launch
from orchestrator.page.__main__ import main
from orchestrator.pair import read_pairs
from orchestrator.run_status import State, read_run


def test_real_run_has_a_page_with_measured_pairs(real_run):
    run_folder = RunFolder(real_run.run_folder.root)
    head, videos = shown(run_folder)
    assert {video["state"] for video in videos} == {"done"}
    assert head["launches"][0]["phase"] is None, "written after the launch has taken its own file away"
    assert len(head["pairs"]) == 2
    for video_id, pair in head["pairs"].items():
        assert video_id in real_run.entries
        assert (run_folder.root / pair["folder"] / "video.mp4").is_file()
        assert 5 < pair["likeness"]["psnr"] < pair["floor"]["psnr"] <= 100
        assert pair["full"] == 8


def test_counts_of_a_run_are_the_batches_own(real_run):
    run = read_run(real_run.run_folder.root)
    assert list(run.videos) == list(real_run.entries)
    assert run.references.keys() == real_run.references.entries.keys()
    assert {video.state for video in (run.videos | run.references).values()} == {State.DONE}
    assert len(run.launches[0].video_ids) == 3


def test_page_is_built_again_by_hand_after_a_copy(real_run, tmp_path, capsys):
    copy = tmp_path / "copy"
    shutil.copytree(real_run.run_folder.root, copy)
    shutil.rmtree(copy / "page")
    (copy / "index.html").unlink()
    for record in (copy / "references").glob("*.json"):
        record.write_text(record.read_text().replace('"floor": {', '"floor": null, "was": {'))
    assert main([str(copy)]) == 0
    assert capsys.readouterr().out.strip() == str(copy / "index.html")
    assert shown(RunFolder(copy))[0]["name"] == "copy"
    assert all(record.is_whole for record in read_pairs(RunFolder(copy)).values())


def test_folder_that_is_no_run_is_refused_in_one_line(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "orchestrator.page", str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert done.stderr.startswith(f"error: {tmp_path} is no run") and done.stderr.count("\n") == 1


def test_launch_of_a_batch_that_is_done_builds_the_page(real_run, tmp_path, config):
    """Of runs that are older than the page."""
    shutil.copytree(real_run.run_folder.root, tmp_path / "run")
    shutil.rmtree(tmp_path / "run" / "page")
    (tmp_path / "run" / "index.html").unlink()
    plan = plan_launch(tiny(config, tmp_path))
    assert plan.entries.keys() == real_run.entries.keys()
    render(plan)
    assert len(shown(plan.run_folder)[1]) == 3
    assert len(shown(plan.run_folder)[0]["pairs"]) == 2, "of the launch before"
