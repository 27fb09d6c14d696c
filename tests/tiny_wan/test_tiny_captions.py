from itertools import product

import pytest

from tiny_wan.architecture import MAX_SEQUENCE_LENGTH, build_tokenizer
from tiny_wan.captions import (
    COLOURS,
    MINIMUM_CONTRAST,
    Motion,
    Shape,
    Size,
    Spec,
    contrast,
    parse_caption,
    readable_pairs,
)

ALL_SPECS = [
    Spec(size=size, colour=colour, shape=shape, motion=motion, background=background)
    for size, shape, motion, (colour, background) in product(Size, Shape, Motion, readable_pairs())
]


def test_every_caption_reads_back_into_its_spec():
    assert all(parse_caption(spec.caption) == spec for spec in ALL_SPECS)


def test_captions_are_all_different():
    assert len({spec.caption for spec in ALL_SPECS}) == len(ALL_SPECS)


@pytest.mark.parametrize(
    "caption", ["", "a cat", "a large red circle moving left", "a large mauve circle growing on a grey background"]
)
def test_what_is_no_caption_is_refused(caption):
    with pytest.raises(ValueError, match=r"got|not a valid"):
        parse_caption(caption)


def test_objects_stand_out_from_their_background_and_every_colour_is_used():
    assert all(contrast(*pair) >= MINIMUM_CONTRAST for pair in readable_pairs())
    assert {colour for colour, _ in readable_pairs()} == set(COLOURS)


def test_every_caption_fits_the_tokenizer_without_unknown_words():
    tokenizer = build_tokenizer()
    ids = tokenizer([spec.caption for spec in ALL_SPECS]).input_ids
    assert all(tokenizer.unk_token_id not in row for row in ids)
    assert max(len(row) for row in ids) <= MAX_SEQUENCE_LENGTH


@pytest.mark.parametrize("prompt", ["", "日本語 🎈", "Ein zügiges Quadrat", "a RED circle", "x" * 500])
def test_any_prompt_becomes_tokens(prompt):
    tokenizer = build_tokenizer()
    ids = tokenizer(prompt, padding="max_length", max_length=MAX_SEQUENCE_LENGTH, truncation=True).input_ids
    assert len(ids) == MAX_SEQUENCE_LENGTH
    assert all(0 <= token < len(tokenizer) for token in ids)
