"""The preview: a picture that opens, whatever the prompt."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from orchestrator.filmstrip import NUM_FRAMES, write_filmstrip

ODD_PROMPTS = {
    "empty": "",
    "emoji": "a 🎈 over 🏔️ and 🧑‍🚀",
    "long": "a very long story " * 278,
    "one long word": "w" * 5000,
    "newlines": "one\ntwo\r\nthree\n\n\nfour\tfive",
    "scripts": "круг 円 วงกลม \u200fעיגול ",
    "markup": "[bold]not bold[/bold] <b>&amp;</b> %s {0} \\n",
    "nul": "a\0b",
    "separators": "a\u2028b\x0bc",
}


def frames_of(num_frames=17, height=96, width=96) -> np.ndarray:
    """Frame i is of one colour, which says which it is."""
    frames = np.zeros((num_frames, height, width, 3), np.uint8)
    frames[..., 0] = np.linspace(0, 200, num_frames).astype(np.uint8)[:, None, None]
    frames[..., 1] = 100
    return frames


def open_strip(path, prompt, frames) -> Image.Image:
    write_filmstrip(path, frames, prompt=prompt)
    strip = Image.open(path)
    strip.load()
    assert strip.format == "PNG"
    return strip


@pytest.mark.parametrize("prompt", ODD_PROMPTS.values(), ids=ODD_PROMPTS)
def test_text_of_the_file_is_the_whole_prompt(tmp_path, prompt):
    strip = open_strip(tmp_path / "preview.png", prompt, frames_of())
    assert str(strip.text["Description"]) == prompt


@settings(deadline=None, max_examples=25)
@given(prompt=st.text(st.characters(exclude_categories=["Cs"])))
def test_any_prompt_is_kept(tmp_path_factory, prompt):
    strip = open_strip(tmp_path_factory.getbasetemp() / "preview.png", prompt, frames_of(3, 32, 32))
    assert str(strip.text["Description"]) == prompt


@pytest.mark.parametrize("prompt", ODD_PROMPTS.values(), ids=ODD_PROMPTS)
@pytest.mark.parametrize("size", [(96, 96), (480, 832), (720, 1280), (832, 480), (16, 16)])
def test_picture_is_a_row_with_a_few_lines_of_text(tmp_path, prompt, size):
    height, width = size
    strip = open_strip(tmp_path / "preview.png", prompt, frames_of(7, height, width))
    assert 192 < strip.height < 350
    frame_width = round(width * 192 / height)
    assert NUM_FRAMES * frame_width < strip.width < NUM_FRAMES * (frame_width + 20) + 20


@pytest.mark.parametrize("num_frames", [1, 2, 5, 6, 7, 81])
def test_frames_are_spread_over_the_video_first_and_last_included(tmp_path, num_frames):
    frames = frames_of(num_frames)
    strip = np.asarray(open_strip(tmp_path / "preview.png", "a prompt", frames).convert("RGB"))
    row = strip[strip.shape[0] - 60]  # through the middle of the frames
    shown = [tuple(pixel) for pixel in row if pixel[1] == 100]
    distinct = list(dict.fromkeys(shown))
    assert len(distinct) == min(num_frames, NUM_FRAMES)
    assert distinct[0] == tuple(frames[0, 0, 0])
    assert distinct[-1] == tuple(frames[-1, 0, 0])
    assert distinct == sorted(distinct)


def test_prompt_is_drawn_above_the_frames(tmp_path):
    frames = frames_of()
    plain, written = (
        np.asarray(open_strip(tmp_path / "preview.png", prompt, frames).convert("L"), dtype=int)
        for prompt in ("", "a large red circle")
    )
    assert plain.shape == written.shape
    changed = np.abs(plain - written).max(axis=1)
    above = plain.shape[0] - 192 - 12
    assert changed[:above].max() > 100
    assert changed[above:].max() == 0


@pytest.mark.parametrize("letter", ["i", "m", "W", "M W "])
def test_drawn_text_stays_within_the_picture(tmp_path, letter):
    """Wide letters too: nothing is cut off at the right edge."""
    strip = np.asarray(open_strip(tmp_path / "preview.png", letter * 400, frames_of()).convert("L"))
    above = strip[: strip.shape[0] - 192 - 12]
    assert above[:, -4:].min() > 200


def test_same_frames_and_prompt_give_the_same_picture(tmp_path):
    contents = set()
    for name in ("one.png", "two.png"):
        write_filmstrip(tmp_path / name, frames_of(), prompt="a prompt")
        contents.add((tmp_path / name).read_bytes())
    assert len(contents) == 1
