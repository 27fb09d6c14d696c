"""Prompts of a batch, from the command line and from files."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.errors import BadInput
from orchestrator.prompts import read_prompts

# What a line of a file may hold: anything but a line end, and no white space around it, which is not kept.
lines = st.text(st.characters(exclude_characters="\r\n", exclude_categories=["Cs"]), min_size=1).filter(
    lambda line: line == line.strip() and not line.startswith("\ufeff")
)


def read_file(path, content: bytes) -> list[str]:
    path.write_bytes(content)
    return read_prompts(prompt=None, batch=str(path))


def refusal_of(**arguments) -> str:
    with pytest.raises(BadInput) as refused:
        read_prompts(**{"prompt": None, "batch": None, **arguments})
    message = str(refused.value)
    assert "\n" not in message
    return message


@given(prompt=st.text().filter(str.strip))
def test_single_prompt_is_taken_as_it_is(prompt):
    assert read_prompts(prompt=prompt, batch=None) == [prompt]


@settings(deadline=None)
@given(prompts=st.lists(lines, min_size=1, unique=True), end=st.sampled_from(["", "\n", "\n\n"]))
def test_file_gives_one_prompt_a_line_in_order(tmp_path_factory, prompts, end):
    path = tmp_path_factory.mktemp("batch") / "prompts.txt"
    assert read_file(path, ("\n".join(prompts) + end).encode()) == prompts


@settings(deadline=None)
@given(prompts=st.lists(lines, min_size=1))
def test_repeated_prompts_are_rendered_once(tmp_path_factory, prompts):
    path = tmp_path_factory.mktemp("batch") / "prompts.txt"
    assert read_file(path, "\n".join([*prompts, *prompts]).encode()) == list(dict.fromkeys(prompts))


@pytest.mark.parametrize(
    "content",
    [b"one\ntwo\n", b"one\r\ntwo\r\n", b"\xef\xbb\xbfone\ntwo", b"\n\n  one  \n\t\n two\n\n", b"one\ntwo\r\n\r\n"],
    ids=["unix", "windows", "byte order mark", "blank lines", "mixed"],
)
def test_line_ends_marks_and_blank_lines_of_any_editor(tmp_path, content):
    assert read_file(tmp_path / "prompts.txt", content) == ["one", "two"]


@pytest.mark.parametrize("separator", ["\u2028", "\u0085", "\x0b", "\x0c", "\x1c"])
def test_only_line_ends_part_prompts(tmp_path, separator):
    prompt = f"one{separator}still one"
    assert read_file(tmp_path / "prompts.txt", f"{prompt}\ntwo".encode()) == [prompt, "two"]


def test_file_is_found_from_the_working_directory(tmp_path, monkeypatch):
    (tmp_path / "my prompts.txt").write_text("one")
    monkeypatch.chdir(tmp_path)
    assert read_prompts(prompt=None, batch="my prompts.txt") == ["one"]


def test_jobs_own_batch_is_used_when_nothing_else_is_given(tmp_path):
    own = tmp_path / "own.txt"
    own.write_text("the job's")
    given_ = tmp_path / "given.txt"
    given_.write_text("the user's")
    assert read_prompts(prompt=None, batch=None, job_batch=str(own)) == ["the job's"]
    assert read_prompts(prompt="mine", batch=None, job_batch=str(own)) == ["mine"]
    assert read_prompts(prompt=None, batch=str(given_), job_batch=str(own)) == ["the user's"]


def test_jobs_own_batch_is_found_from_any_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert len(read_prompts(prompt=None, batch=None, job_batch="jobs/demo_prompts.txt")) >= 1


def test_no_prompts_say_what_to_give():
    assert refusal_of().startswith("no prompts: ")
    assert "batch=" in refusal_of() and "prompt=" in refusal_of()


@pytest.mark.parametrize("prompt", ["", " ", "\n\t", "\u3000"])
def test_empty_prompt_is_refused(prompt):
    message = refusal_of(prompt=prompt)
    assert message.startswith("prompt=")
    assert "empty" in message


def test_both_are_refused(tmp_path):
    message = refusal_of(prompt="one", batch="two.txt")
    assert "prompt='one'" in message and "batch=two.txt" in message


def test_missing_file_is_refused(tmp_path):
    message = refusal_of(batch=str(tmp_path / "none.txt"))
    assert message.startswith(f"batch={tmp_path}/none.txt ")
    assert "No such file" in message


def test_folder_is_refused(tmp_path):
    (tmp_path / "folder.txt").mkdir()
    assert "directory" in refusal_of(batch=str(tmp_path / "folder.txt"))


@pytest.mark.parametrize("name", ["prompts.csv", "prompts", "prompts.txt.gz", ".txt"])
def test_other_suffixes_are_refused(tmp_path, name):
    (tmp_path / name).write_text("one")
    message = refusal_of(batch=str(tmp_path / name))
    assert f"batch={tmp_path}/{name} " in message and ".txt" in message


@pytest.mark.parametrize("content", [b"\xff\xfe one", b"caf\xe9", b"one\ntwo \x80"])
def test_other_encodings_are_refused(tmp_path, content):
    path = tmp_path / "prompts.txt"
    path.write_bytes(content)
    assert "is not UTF-8 text" in refusal_of(batch=str(path))


@pytest.mark.parametrize("content", [b"", b"\n\n", b" \t\r\n", b"\xef\xbb\xbf"])
def test_file_without_prompts_is_refused(tmp_path, content):
    path = tmp_path / "prompts.txt"
    path.write_bytes(content)
    assert f"batch={path} holds no prompts" in refusal_of(batch=str(path))
