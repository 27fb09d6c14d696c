"""Plots are pictures with something in them."""

from PIL import Image

from benchmarks.quality_plots import plot_errors, plot_sweep
from benchmarks.quality_rows import FEWER_STEPS, SWEEP

LINES = {
    name: [{"full_rounds": count, "captions": 8, "psnr": 20 + count / k, "psnr_error": 1.0} for count in SWEEP]
    for k, name in enumerate(("spectrum", FEWER_STEPS), start=1)
}


def colours_of(file):
    return {colour for _, colour in Image.open(file).convert("RGB").getcolors(2**20)}


def test_sweep_is_drawn_with_a_line_for_each_method(tmp_path):
    plot_sweep(LINES, tmp_path / "a.png", title="plain")
    colours = colours_of(tmp_path / "a.png")
    assert {(255, 255, 255), (0x00, 0x72, 0xB2), (0, 0, 0)} <= colours


def test_errors_are_drawn(tmp_path):
    plot_errors({"spectrum": {1: 0.5, 6: 0.01}}, tmp_path / "a.png", title="plain")
    assert (0x00, 0x72, 0xB2) in colours_of(tmp_path / "a.png")


def test_without_results_nothing_is_written(tmp_path):
    plot_sweep({}, tmp_path / "a.png", title="plain")
    plot_errors({}, tmp_path / "b.png", title="plain")
    assert list(tmp_path.iterdir()) == []
