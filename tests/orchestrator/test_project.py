"""The project's own files are found from anywhere; the user's come first."""

from orchestrator.project import PROJECT, find_file


def test_project_is_where_the_packages_are():
    assert (PROJECT / "orchestrator" / "project.py").is_file()
    assert (PROJECT / "conf").is_dir()


def test_files_of_the_project_are_found_from_anywhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert find_file("jobs/demo_prompts.txt") == PROJECT / "jobs" / "demo_prompts.txt"


def test_file_in_the_working_directory_comes_first(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "jobs").mkdir()
    (tmp_path / "jobs" / "demo_prompts.txt").touch()
    assert find_file("jobs/demo_prompts.txt").resolve() == tmp_path / "jobs" / "demo_prompts.txt"


def test_file_that_is_nowhere_is_named_as_it_was_given(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert str(find_file("jobs/none.txt")) == "jobs/none.txt"


def test_absolute_path_is_that_path(tmp_path):
    assert find_file(str(tmp_path)) == tmp_path


def test_home_folder_may_be_written_short(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "model").mkdir()
    assert find_file("~/model") == tmp_path / "model"
