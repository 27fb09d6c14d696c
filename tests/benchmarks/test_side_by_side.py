"""The README's first picture: two columns of filmstrips, a row for each prompt."""

import numpy as np

from benchmarks.side_by_side import NUM_PROMPTS, PROMPTS, draw
from orchestrator.project import PROJECT


def frames_of(colour: tuple[int, int, int]) -> np.ndarray:
    return np.full((17, 96, 96, 3), colour, np.uint8)


def test_forecasts_are_left_and_full_renders_right():
    red, blue = (200, 0, 0), (0, 0, 200)
    picture = np.asarray(draw([(frames_of(red), frames_of(blue), "a prompt")] * 2, ("left", "right")))
    half = picture.shape[1] // 2
    for colour, columns in ((red, slice(0, half)), (blue, slice(half, None))):
        held = (picture == colour).all(-1)
        assert held[:, columns].sum() == held.sum() == 2 * 3 * 192 * 192


def test_more_rows_make_a_taller_picture():
    row = (frames_of((9, 9, 9)), frames_of((9, 9, 9)), "a prompt")
    assert draw([row] * 3, ("", "")).height > draw([row], ("", "")).height + 2 * 192


def test_readme_shows_it_and_the_demo_has_the_prompts():
    readme = (PROJECT / "README.md").read_text(encoding="utf-8")
    assert "(docs/side_by_side.png)" in readme and (PROJECT / "docs" / "side_by_side.png").is_file()
    assert len(PROMPTS.read_text(encoding="utf-8").splitlines()) >= NUM_PROMPTS
