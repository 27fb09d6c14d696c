"""Numbers of a real batch, at the port where Prometheus would ask a real Ray node for them."""

import re
import time
import urllib.request
from collections import defaultdict

import pytest

pytestmark = pytest.mark.alone

pytest.importorskip("prometheus_client", reason="Ray gives no numbers out without its extras: ray[default]")

NUM_STEPS = 12
NUM_VIDEOS = 200
"""More than are waited for: Ray closes the port with the launch."""
WAIT_SECONDS = 150
OWN_TAGS = ("job", "run", "outcome", "kind", "stage", "gang")
_SAMPLE = re.compile(r"^(ray_spectrum_\w+)\{(.*)\} (\S+)$", re.MULTILINE)
_TAG = re.compile(r'(\w+)="([^"]*)"')


def scrape(address: str) -> dict[str, dict[tuple[str, ...], float]]:
    """Values by name, then by the product's own tags in the order of OWN_TAGS, job and run left out."""
    try:
        with urllib.request.urlopen(address, timeout=20) as answer:
            text = answer.read().decode()
    except OSError:  # the agent has much else to do
        return {}
    found = defaultdict(dict)
    for name, written, value in _SAMPLE.findall(text):
        tags = dict(_TAG.findall(written))
        assert tags["job"] == "demo" and tags["run"] == "run"
        found[name][tuple(tags[tag] for tag in OWN_TAGS[2:] if tag in tags)] = float(value)
    return found


@pytest.fixture(scope="module")
def scraped(watch, tmp_path_factory):
    """What the node says once a few videos are done."""
    folder = tmp_path_factory.mktemp("metrics")
    prompts = folder / "prompts.txt"
    prompts.write_text("\n".join(f"a large red circle moving left, take {number}" for number in range(NUM_VIDEOS)))
    launch = watch(
        *("+job=demo", "forecast=spectrum", "parallel=auto", "parallel.ranks=1", "cluster.metrics=true"),
        f"denoise.num_steps={NUM_STEPS}",
        *("video.height=64", "video.width=64", "video.num_frames=5", f"batch={prompts}", f"output={folder / 'run'}"),
        RAY_metrics_report_interval_ms="1000",
    )
    launch.wait_for("metrics at http://", f"  2/{NUM_VIDEOS}  ")
    [address] = re.findall(r"metrics at (\S+)", launch.stderr)
    deadline = time.monotonic() + WAIT_SECONDS
    found = {}
    while time.monotonic() < deadline and not found.get("ray_spectrum_videos_total"):
        time.sleep(1)
        found = scrape(address)
    launch.end(launch.interrupt)
    assert found.get("ray_spectrum_videos_total"), launch.stderr
    return found


def test_finished_videos_are_counted(scraped):
    videos = scraped["ray_spectrum_videos_total"]
    assert set(videos) == {("done",)}
    assert 1 <= videos["done",] <= NUM_VIDEOS


def test_rounds_are_those_of_the_plan(scraped):
    """12 steps: 0–4, 6, 8 and 11 are full."""
    rounds, videos = scraped["ray_spectrum_rounds_total"], scraped["ray_spectrum_videos_total"]["done",]
    assert set(rounds) == {("full",), ("forecast",)}
    assert 8 * videos <= rounds["full",] <= 8 * (videos + 1)
    assert 4 * videos <= rounds["forecast",] <= 4 * (videos + 1)


def test_seconds_go_to_denoising_and_to_full_rounds_most(scraped):
    stages, rounds = scraped["ray_spectrum_stage_seconds_total"], scraped["ray_spectrum_round_seconds_total"]
    assert set(stages) == {("encode",), ("denoise",), ("decode",), ("publish",)}
    assert all(0 < seconds < 3600 for seconds in stages.values())
    assert rounds["full",] > rounds["forecast",]
    assert sum(rounds.values()) <= 1.01 * stages["denoise",]


def test_errors_are_of_the_full_rounds_that_had_a_forecast(scraped):
    """All but the first of each video."""
    [number] = scraped["ray_spectrum_forecast_error_count"].values()
    [total] = scraped["ray_spectrum_forecast_error_sum"].values()
    assert 0 < number <= scraped["ray_spectrum_rounds_total"]["full",]
    assert 0 < total / number < 2


def test_gang_is_idle_for_a_share_of_its_time(scraped):
    shares = scraped["ray_spectrum_gang_idle_share"]
    assert set(shares) == {("gang 0",)}
    assert 0 <= shares["gang 0",] < 1
