"""The page in a real Chromium, opened from the disk: what a person sees and does."""

import json
import re

import pytest
from page_runs import until

from benchmarks.page_run import make_run, prompts_of
from orchestrator.artifacts import RunFolder, publish_json
from orchestrator.page.files import PageFiles

pytestmark = pytest.mark.alone
"""Videos are played."""


@pytest.fixture(scope="session")
def large_run(tmp_path_factory):
    """Ten thousand videos, of which the last two wait."""
    root = tmp_path_factory.mktemp("large") / "run"
    make_run(root, prompts_of(10_000), num_waiting=2)
    PageFiles(RunFolder(root)).write()
    return root


@pytest.fixture
def real(visit, real_run):
    opened = visit(real_run.run_folder.root)
    opened.open()
    return opened


def wait_for_time(page, video, condition: str) -> None:
    until(page, f"video => video.currentTime {condition}", video.element_handle())


def test_grid_shows_prompt_seed_seconds_speedup_and_full_rounds(real, real_run):
    [first, *_] = real_run.entries.values()
    record = real_run.run_folder.video(first.video_id).read_sidecar()
    card = real.page.locator(".grid .card").first
    text = card.inner_text()
    assert first.request.prompt in text
    for part in (f"{record['num_full_rounds']} of 8", f"{record['estimated_speedup']:.2f}×", "Seed"):
        assert part in text
    assert real.page.locator("#run-figures").inner_text().startswith("Videos\n3\n")


def test_video_plays_while_it_is_hovered(real):
    card = real.page.locator(".grid .card").nth(1)
    video = card.locator("video")
    until(real.page, "video => video.readyState >= 2", video.element_handle())
    assert video.evaluate("video => video.paused")
    card.hover()
    wait_for_time(real.page, video, "> 0.3")
    assert video.evaluate("video => video.videoWidth") == 32
    real.page.locator("h1").hover()
    until(real.page, "video => video.paused && video.currentTime === 0", video.element_handle())


def test_video_plays_while_it_has_the_focus(real):
    card = real.page.locator(".grid .card").first
    real.page.locator("#direction").focus()
    real.page.keyboard.press("Tab")
    assert real.page.evaluate("document.activeElement.className") == "card"
    wait_for_time(real.page, card.locator("video"), "> 0.3")


def test_own_view_opens_and_closes_by_keyboard_and_gives_the_focus_back(real):
    page = real.page
    page.locator(".grid .card").nth(2).focus()
    page.keyboard.press("Enter")
    assert page.locator("dialog").evaluate("dialog => dialog.open")
    page.wait_for_selector(".rounds-chart svg")
    assert page.evaluate("document.activeElement.closest('dialog') !== null")
    page.keyboard.press("ArrowLeft")
    until(page, "document.getElementById('video-prompt').textContent === 'a small blue square'")
    page.keyboard.press("Escape")
    until(page, "!document.querySelector('dialog').open && !location.hash.includes('video=')")
    assert page.evaluate("document.activeElement.querySelector('.prompt').textContent") == "a small blue square"


def test_own_view_can_be_kept_as_an_address_and_gone_back_from(real, real_run):
    page = real.page
    video_id = list(real_run.entries)[2]
    page.locator(f"[data-id='{video_id}']").click()
    until(page, f"location.hash === '#video={video_id}'")
    page.go_back()
    until(page, "!document.querySelector('dialog').open")
    real.open(f"#video={video_id}")
    page.reload()
    assert page.locator("#video-prompt").inner_text() == "a white ring"


def test_own_view_shows_rounds_errors_stages_record_and_the_command(real, real_run):
    page = real.page
    video_id = next(iter(real_run.entries))
    record = real_run.run_folder.video(video_id).read_sidecar()
    page.locator(f".grid [data-id='{video_id}']").click()
    page.wait_for_selector(".rounds-chart svg")
    kinds = page.locator(".rounds-chart rect[data-step]").evaluate_all("all => all.map(one => one.className.baseVal)")
    assert kinds == record["plan"]
    assert page.locator(".rounds-chart circle.error").count() == len(record["forecast_errors"])
    for stage in record["seconds"]["stages"]:
        assert page.locator(f".stages-chart .bar .{stage}").count() == 1
    page.get_by_text("All rounds as a table").click()
    until(page, f"document.querySelectorAll('tbody tr').length === {len(record['plan'])}")
    bar = page.locator(".rounds-chart rect[data-step='1']").bounding_box()
    page.mouse.move(bar["x"] + bar["width"] / 2, bar["y"])
    assert page.locator(".readout").inner_text().startswith("Step 1: full")
    assert page.locator("pre.command").inner_text().startswith("python -m orchestrator.launch")
    page.get_by_text("The whole record").click()
    assert json.loads(page.locator("pre.record").inner_text()) == record


def test_command_is_copied(visit, real_run):
    opened = visit(real_run.run_folder.root, permissions=["clipboard-read", "clipboard-write"])
    page = opened.open()
    page.locator(".grid .card").first.click()
    page.get_by_label("Copy the command").click()
    until(page, "document.querySelector('.copy').textContent === 'Copied'")
    assert page.evaluate("navigator.clipboard.readText()") == page.locator("pre.command").inner_text()


def test_pairs_play_in_step_with_their_figures(real):
    page = real.page
    assert page.locator(".pair").count() == 2
    pair = page.locator(".pair").first
    assert re.search(r"PSNR\s+[\d.]+ dB\s+SSIM\s+0\.\d+\s+Noise floor\s+[\d.]+ dB", pair.inner_text())
    first, second = pair.locator("video").all()
    pair.get_by_role("button").click()
    wait_for_time(page, first, "> 0.2")
    apart = page.evaluate(
        """async ([first, second]) => {
          const apart = [];
          for (let look = 0; look < 30; look += 1) {
            await new Promise(requestAnimationFrame);
            if (!first.seeking && !second.seeking) apart.push(Math.abs(first.currentTime - second.currentTime));
            await new Promise((resolve) => setTimeout(resolve, 60));
          }
          return apart;
        }""",
        [first.element_handle(), second.element_handle()],
    )
    assert sorted(apart)[len(apart) // 2] < 1 / 8, "within a frame"
    pair.get_by_role("button").click()
    until(
        page,
        "videos => videos.every(one => one.paused && !one.seeking && one.currentTime === videos[0].currentTime)",
        [first.element_handle(), second.element_handle()],
    )
    within = first.evaluate("video => video.currentTime * 8 % 1")
    assert within == pytest.approx(0.5, abs=0.01), "far from a frame's edge, where rounding decides what is shown"
    pair.get_by_role("slider").fill("0.5")
    until(
        page,
        "videos => videos.every(video => !video.seeking && Math.abs(video.currentTime - video.duration / 2) < 0.01)",
        [first.element_handle(), second.element_handle()],
    )


def test_pair_begins_again_at_its_end(real):
    pair = real.page.locator(".pair").first
    first = pair.locator("video").first
    pair.get_by_role("button").click()
    wait_for_time(real.page, first, "> 1.8")
    wait_for_time(real.page, first, "< 0.5")
    wait_for_time(real.page, first, "> 0.5")


def test_ten_thousand_videos_are_filtered_sorted_and_turned(visit, large_run):
    opened = visit(large_run)
    page = opened.open()
    assert page.locator("#matches").inner_text() == "1–48 of 10,000 videos"
    page.locator("#query").fill("ORANGE ring take 1000")
    until(page, "document.querySelectorAll('.card').length < 48")
    assert [prompt for prompt in opened.prompts() if "orange ring" not in prompt] == []
    page.locator("#query").fill("orange ring")
    until(page, "document.querySelector('#matches').textContent.includes('matching')")
    assert all("orange ring" in prompt for prompt in opened.prompts())
    page.locator("#query").fill("")
    until(page, "!document.querySelector('#matches').textContent.includes('matching')")
    page.locator("#sort").select_option("seconds")
    seconds = page.evaluate(
        "[...document.querySelectorAll('.card')].map(one => one.innerText.match(/Time\\s+([\\d.]+) s/)[1])"
    )
    assert [float(one) for one in seconds] == sorted(map(float, seconds), reverse=True)
    page.locator("#direction").click()
    assert float(re.search(r"Time\s+([\d.]+) s", page.locator(".card").first.inner_text())[1]) < float(seconds[-1])
    page.locator("#sort").select_option("order")
    page.get_by_label("Last page").click()
    assert page.locator("#matches").inner_text() == "9,985–10,000 of 10,000 videos"
    assert opened.prompts()[-1].endswith("take 9999")
    assert page.locator(".card", has_text="Waiting").count() == 2
    assert page.evaluate("document.querySelectorAll('*').length") < 2500, "a page of cards, not all"
    page.go_back()
    until(page, "document.querySelector('#matches').textContent.startsWith('1–48')")


def test_ten_thousand_videos_are_usable(visit, large_run):
    """In the page's own time, which a busy machine lengthens: bounds far above what was measured."""
    page = visit(large_run).open()
    for choice in ("q=orange+ring", "sort=speedup", "page=100"):
        took = page.evaluate(
            """(address) => {
              const begin = performance.now();
              history.replaceState(null, "", `#${address}`);
              dispatchEvent(new Event("choice"));
              document.body.getBoundingClientRect();
              return performance.now() - begin;
            }""",
            choice,
        )
        assert took < 2000


def test_video_whose_file_is_gone_says_so(visit, tmp_path):
    root = tmp_path / "run"
    [video_id] = make_run(root, ["gone"])
    PageFiles(RunFolder(root)).write()
    RunFolder(root).video(video_id).video.unlink()
    page = visit(root, may_fail=True).open()
    page.wait_for_selector(".no-video")


def test_page_that_is_open_follows_the_run(visit, tmp_path):
    root = tmp_path / "run"
    ids = make_run(root, ["first", "second"])
    run_folder = RunFolder(root)
    record = run_folder.video(ids[1]).sidecar
    record.rename(tmp_path / "hidden.json")
    publish_json(
        run_folder.launch_progress("all"),
        {
            "host": "elsewhere",
            "pid": 1,
            "process_began": 0.0,
            "began": "2026-01-01T00:00:00+00:00",
            "phase": "rendering",
        }
        | {"gangs": {}},
    )
    files = PageFiles(run_folder)
    files.write()
    opened = visit(root)
    page = opened.open()
    assert "rendering" in page.locator("#run-line").inner_text()
    assert page.locator(".card.waiting, .picture.waiting").count() == 1
    page.locator("#query").fill("s")
    (tmp_path / "hidden.json").rename(record)
    page.wait_for_timeout(1100)  # the page says the second that it was built
    files.write()
    until(page, "document.querySelectorAll('.picture.done').length === 2", timeout=30)
    assert page.locator("#query").input_value() == "s"


def test_page_without_its_data_says_what_to_do(visit, tmp_path, hostile_run):
    (tmp_path / "index.html").write_text((hostile_run / "index.html").read_text())
    page = visit(tmp_path, may_fail=True).open()
    assert "orchestrator.page" in page.locator("#notice").inner_text()
