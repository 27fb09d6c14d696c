"""Prompts hold anything: whatever is typed after `prompt=` is the prompt, past the shell, Hydra and OmegaConf."""

from collections.abc import Iterator
from contextlib import contextmanager

import hydra
import pytest
from hydra.core.config_store import ConfigStore
from hypothesis import example, given, settings
from hypothesis import strategies as st
from omegaconf import OmegaConf

from orchestrator.config import LaunchConfig
from orchestrator.literal_arguments import LITERAL_FIELDS, protect, register

NASTY = [
    'a "quoted" cat',
    "it's a cat",
    "one, two, three",
    "ratio 3:2",
    "$HOME and ${oc.env:HOME} and ${literal:x61}",
    "${",
    "a=b=c",
    "f(x) = [1, {2: 3}]",
    "}{)(][",
    "back\\slash \\",
    "\\'",
    "🎈🧑\u200d🚀 emoji",
    "круг \u200fעיגול\u200e 円 วงกลม",
    "two\nlines\r\n and \t tab",
    " spaces around ",
    "~tilde !bang #hash @at *star? %d",
    "+plus",
    "1e5",
    "true",
    "None",
    "nulls",
    "????",
    "",
    "x61",
    "\x00\x01\x7f",
    "\u2028",
]

# Whatever the command line can carry: no lone surrogates.
texts = st.text(st.characters(exclude_categories=["Cs"])).filter(lambda text: text not in ("null", "???"))


@contextmanager
def hydras_own() -> Iterator[None]:
    ConfigStore.instance().store(name="launch_schema", node=LaunchConfig)
    register()
    with hydra.initialize_config_module("conf", version_base=None):
        yield


@pytest.fixture(scope="module", autouse=True)
def composition():
    with hydras_own():
        yield


def compose(*arguments: str) -> LaunchConfig:
    composed = OmegaConf.to_object(hydra.compose("launch", protect(arguments)))
    assert isinstance(composed, LaunchConfig)
    return composed


def batched(values: list, size: int) -> list[tuple]:
    """Tuples of `size`, the last one filled up from the start."""
    filled = [*values, *values[: -len(values) % size]]
    return [tuple(filled[start : start + size]) for start in range(0, len(filled), size)]


def test_nasty_prompts_arrive_as_they_were_typed():
    for texts_ in batched(NASTY, 4):
        prompt, negative_prompt, batch, output = texts_
        config = compose(
            "+job=demo",
            f"prompt={prompt}",
            f"negative_prompt={negative_prompt}",
            f"batch={batch}",
            f"output={output}",
        )
        assert (config.prompt, config.negative_prompt, config.batch, config.output) == texts_


@settings(deadline=None, max_examples=25)
@given(prompt=texts, negative_prompt=texts, batch=texts, output=texts, path=texts)
def test_any_text_arrives_as_it_was_typed(prompt, negative_prompt, batch, output, path):
    config = compose(
        f"prompt={prompt}",
        f"negative_prompt={negative_prompt}",
        f"batch={batch}",
        f"output={output}",
        f"model.path={path}",
    )
    assert config.prompt == prompt
    assert config.negative_prompt == negative_prompt
    assert config.batch == batch
    assert config.output == output
    assert config.model.path == path


@given(text=texts)
@example("a,b")
@example("${x}")
def test_what_hydra_sees_of_a_prompt_is_letters_and_digits(text):
    [argument] = protect([f"prompt={text}"])
    name, _, value = argument.partition("=")
    assert name == "prompt"
    assert value.startswith("${literal:x") and value.endswith("}")
    assert value[len("${literal:") : -1].isalnum()


@pytest.mark.parametrize("prefix", ["", "+", "++"])
def test_prefixes_of_hydra_are_kept(prefix):
    [argument] = protect([f"{prefix}prompt=a,b"])
    assert argument.startswith(f"{prefix}prompt=${{literal:")
    if prefix != "+":  # which adds what is there already: an error of Hydra's
        assert compose(f"{prefix}prompt=a,b").prompt == "a,b"


@pytest.mark.parametrize(
    "argument",
    [
        "+job=demo",
        "seed=1",
        "video=720p",
        "--help",
        "prompt",
        "~prompt",
        "video.height=96",
        "job.name=a,b",
        "hydra.run.dir=.",
        "prompts=a",
        "x.prompt=a",
    ],
)
def test_all_else_is_left_to_hydra(argument):
    assert protect([argument]) == [argument]


@pytest.mark.parametrize("field", LITERAL_FIELDS)
@pytest.mark.parametrize("word", ["null", "???"])
def test_hydras_words_for_nothing_and_missing_stay_its_own(field, word):
    assert protect([f"{field}={word}"]) == [f"{field}={word}"]


def test_null_takes_a_prompt_back():
    assert compose("prompt=a", "prompt=null").prompt is None


def test_last_of_several_wins():
    assert compose("prompt=a,b", "prompt=c=d").prompt == "c=d"


def test_bytes_that_are_not_utf8_are_shown_as_such():
    typed = b"caf\xe9".decode("utf-8", "surrogateescape")  # what Python makes of such an argument
    assert compose(f"prompt={typed}").prompt == "caf\ufffd"
