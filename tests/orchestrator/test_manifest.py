"""Rows of a batch, from the command line and from files of every kind."""

import csv
import io
import json

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from orchestrator.errors import BadInput
from orchestrator.manifest import MAX_LINE_BYTES, open_manifest
from orchestrator.row import Flaw, Row, RowKind

# What a line of a file may hold: anything but a line end, and no white space around it, which is not kept.
lines = st.text(st.characters(exclude_characters="\r\n", exclude_categories=["Cs"]), min_size=1).filter(
    lambda line: line == line.strip() and not line.startswith("\ufeff")
)


def read_prompts(*, prompt, batch, job_batch=None) -> list[str]:
    rows = list(open_manifest(prompt=prompt, batch=batch, job_batch=job_batch).rows)
    assert all(isinstance(row, Row) and row.fields.keys() == {"prompt"} for row in rows), rows
    return [row.fields["prompt"] for row in rows]


def read_file(path, content: bytes) -> list[str]:
    path.write_bytes(content)
    return read_prompts(prompt=None, batch=str(path))


def rows_of(path, content: str | bytes) -> list[Row | Flaw]:
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return list(open_manifest(prompt=None, batch=str(path)).rows)


def flaw_of(path, content: str | bytes) -> Flaw:
    [flaw] = [row for row in rows_of(path, content) if isinstance(row, Flaw)]
    return flaw


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


@pytest.mark.parametrize("name", ["prompts.json", "prompts", "prompts.txt.gz", ".txt"])
def test_other_suffixes_are_refused(tmp_path, name):
    (tmp_path / name).write_text("one")
    message = refusal_of(batch=str(tmp_path / name))
    assert f"batch={tmp_path}/{name} " in message and ".txt" in message


@pytest.mark.parametrize(
    ("content", "line"),
    [(b"\xff\xfe one", 1), (b"caf\xe9", 1), (b"one\ntwo \x80\nthree", 2)],
    ids=["utf-16", "latin-1", "?"],
)
@pytest.mark.parametrize("suffix", [".txt", ".jsonl"])
def test_line_in_another_encoding_is_a_flaw_of_that_line(tmp_path, content, line, suffix):
    flaws = [row for row in rows_of(tmp_path / f"prompts{suffix}", content) if isinstance(row, Flaw)]
    assert (flaws[0] if suffix == ".txt" else flaws[line - 1]).line == line
    assert any("is not UTF-8 text" in flaw.text for flaw in flaws)


@pytest.mark.parametrize("suffix", [".csv", ".yaml"])
def test_file_in_another_encoding_is_one_flaw(tmp_path, suffix):
    content = b"prompt\ncaf\xe9\nb\xe9\n" if suffix == ".csv" else b"- prompt: caf\xe9\n- prompt: b\xe9\n"
    flaw = flaw_of(tmp_path / f"prompts{suffix}", content)
    assert "not UTF-8" in flaw.text or "not YAML" in flaw.text


@pytest.mark.parametrize("suffix", [".txt", ".csv", ".jsonl"])
def test_endless_line_is_not_read_to_its_end(tmp_path, suffix):
    flaw = flaw_of(tmp_path / f"prompts{suffix}", b"x" * (3 * MAX_LINE_BYTES))
    assert flaw.line == 1 and "longer than" in flaw.text


ROWS = [
    {"prompt": "a red circle", "seed": 3, "size": "96x64", "forecast.growth": 3.0},
    {"prompt": 'two\nlines, a "quote" and a comma', "name": "clip: 2"},
    {"prompt": "круг 🎈 #3", "priority": -1, "decode_tiling": True},
]


def as_jsonl(rows) -> str:
    return "\n".join(map(json.dumps, rows)) + "\n"


def as_csv(rows) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, list(dict.fromkeys(name for row in rows for name in row)))
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def as_yaml(rows) -> str:
    return yaml.safe_dump(rows, allow_unicode=True, sort_keys=False)


def test_kinds_of_files_say_the_same(tmp_path):
    for suffix, text in ((".jsonl", as_jsonl(ROWS)), (".yaml", as_yaml(ROWS)), (".yml", as_yaml({"videos": ROWS}))):
        assert [row.fields for row in rows_of(tmp_path / f"rows{suffix}", text)] == ROWS
    header, *rows = rows_of(tmp_path / "rows.csv", as_csv(ROWS))
    assert header.kind is RowKind.HEADER
    assert [row.fields for row in rows] == [{name: str(value) for name, value in row.items()} for row in ROWS]


@settings(deadline=None, max_examples=50)
@given(
    prompts=st.lists(
        st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1).filter(str.strip), min_size=1
    )
)
def test_any_prompt_passes_through_every_kind_of_file(tmp_path_factory, prompts):
    folder, rows = tmp_path_factory.mktemp("rows"), [{"prompt": prompt} for prompt in prompts]
    for suffix, write in ((".jsonl", as_jsonl), (".csv", as_csv), (".yaml", as_yaml)):
        read = rows_of(folder / f"rows{suffix}", write(rows))
        assert [row.fields for row in read if row.kind is RowKind.VIDEO] == rows


def test_rows_know_their_lines(tmp_path):
    texts = {
        ".txt": ("one\n\ntwo\n", [1, 3]),
        ".jsonl": ('{"prompt": "one"}\n\n{"prompt": "two"}\n', [1, 3]),
        ".csv": ('prompt,seed\n"o\nn\ne",1\n\ntwo,2\n', [1, 2, 6]),
        ".yaml": ("# two\n- prompt: one\n  seed: 1\n\n- prompt: two\n", [2, 5]),
    }
    for suffix, (text, expected) in texts.items():
        assert [row.line for row in rows_of(tmp_path / f"rows{suffix}", text)] == expected, suffix


def test_yaml_defaults_come_before_the_videos(tmp_path):
    defaults, video = rows_of(tmp_path / "a.yaml", "defaults: {seed: 4}\nvideos:\n- prompt: one\n")
    assert (defaults.kind, defaults.fields, defaults.line) == (RowKind.DEFAULTS, {"seed": 4}, 1)
    assert (video.kind, video.fields, video.line) == (RowKind.VIDEO, {"prompt": "one"}, 3)
    flaw = flaw_of(tmp_path / "b.yaml", "videos:\n- prompt: one\ndefaults: {seed: 4}\n")
    assert flaw.line == 3 and "defaults" in flaw.text


@pytest.mark.parametrize(
    ("name", "text", "line", "said"),
    [
        ("a.jsonl", '{"prompt": "one"}\n{"prompt": \n', 2, "not JSON"),
        ("a.jsonl", '["one"]', 1, "must be an object"),
        ("a.jsonl", '{"prompt": "one", "prompt": "two"}', 1, "prompt is given twice"),
        ("a.jsonl", '{"forecast": {"growth": 1, "growth": 2}}', 1, "growth is given twice"),
        ("a.jsonl", "[" * 100_000, 1, "nested too deep"),
        ("a.jsonl", '{"seed": ' + "9" * 10_000 + "}", 1, "integer"),
        ("a.csv", "name,seed\none,1\n", 1, "no column prompt"),
        ("a.csv", "", 1, "no column prompt"),
        ("a.csv", "prompt,prompt\none,two\n", 1, "'prompt' twice"),
        ("a.csv", "prompt,seed\none,1\ntwo\n", 3, "1 cells, the header 2"),
        ("a.csv", "prompt,seed\none, two,1\n", 2, "3 cells, the header 2"),
        ("a.csv", 'prompt,seed\n"one,1\n', 2, "cannot be read"),
        ("a.csv", 'prompt\n"one" two\n', 2, "cannot be read"),
        ("a.yaml", "- prompt: [1\n", 2, "not YAML"),
        ("a.yaml", "just text", 1, "list of mappings"),
        ("a.yaml", "- one", 1, "must be a mapping"),
        ("a.yaml", "prompts:\n- prompt: one\n", 1, "prompts: "),
        ("a.yaml", "- prompt: one\n  prompt: two\n", 2, "prompt is given twice"),
        ("a.yaml", "- &a {prompt: one}\n- *a\n", 2, "aliases are not read"),
        ("a.yaml", "- prompt: !!python/object/apply:os.system [touch hacked]\n", 1, "tags are not read"),
        ("a.yaml", "- prompt: one\n---\n- prompt: two\n", 2, "second document"),
        ("a.yaml", f"- prompt: {'[' * 50}{']' * 50}", 1, "nested too deep"),
        ("a.yaml", "- prompt: one\n  [1]: 2\n", 2, "must be a word"),
    ],
)
def test_what_cannot_be_read_is_a_flaw_with_its_line(tmp_path, name, text, line, said):
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path)
        flaw = flaw_of(tmp_path / name, text)
    assert said in flaw.text
    assert flaw.line == line
    assert not (tmp_path / "hacked").exists()


def test_reading_goes_on_after_a_line_that_cannot_be_read(tmp_path):
    rows = rows_of(tmp_path / "a.jsonl", '{"prompt": "one"}\n{\n{"prompt": "two"}\n')
    assert [type(row) for row in rows] == [Row, Flaw, Row]


@pytest.mark.parametrize("content", ["", "# nothing\n", "[]", "videos: []"])
def test_empty_yaml_has_no_rows(tmp_path, content):
    assert rows_of(tmp_path / "a.yaml", content) == []


@settings(deadline=None, max_examples=200)
@given(
    text=st.text(st.sampled_from("-:{}[]&*!|>'\"#,?% \n\tpromtse1x")),
    suffix=st.sampled_from([".yaml", ".csv", ".jsonl"]),
)
def test_any_text_gives_rows_and_flaws_and_nothing_else(tmp_path_factory, text, suffix):
    for row in rows_of(tmp_path_factory.getbasetemp() / f"any{suffix}", text):
        assert isinstance(row, Row | Flaw)


@pytest.mark.parametrize("value", ["null", "~"])
def test_field_that_is_null_or_an_empty_cell_is_not_given(tmp_path, value):
    [row] = rows_of(tmp_path / "a.yaml", f"- prompt: one\n  seed: {value}\n")
    assert row.fields == {"prompt": "one"}
    [row] = rows_of(tmp_path / "a.jsonl", '{"prompt": "one", "seed": null}')
    assert row.fields == {"prompt": "one"}
    _, row = rows_of(tmp_path / "a.csv", "prompt,seed\none,\n")
    assert row.fields == {"prompt": "one"}
