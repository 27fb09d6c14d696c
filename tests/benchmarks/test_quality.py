"""The command, from rendering to the table, with real renders of two rows."""

import json
from pathlib import Path

import pytest

from benchmarks.quality import main
from benchmarks.quality_report import page
from benchmarks.quality_rows import ALL_FULL

ROW = "reuse, uniform plan"


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    """A folder with the results of one caption."""
    folder = tmp_path_factory.mktemp("quality")
    main(["--captions", "1", "--regime", "plain", "--row", ROW, "--work", str(folder)])
    return folder


def report(work, capsys, *more):
    file = work / "figures.json"
    main(["--captions", "2", "--regime", "plain", "--report", "--work", str(work), "--json", str(file), *more])
    return json.loads(file.read_text()), capsys.readouterr().out


def test_report_has_a_row_for_each_number_of_full_rounds(work, capsys):
    figures, printed = report(work, capsys)
    rows = {(row["method"], row["target"]): row for row in figures["regimes"]["plain"]["rows"]}
    assert set(rows) == {(ALL_FULL, 50), ("reuse", 14), ("reuse", 10)}
    assert [rows["reuse", target]["full_rounds"] for target in (14, 10)] == [14, 10]
    assert 10 < rows["reuse", 10]["psnr"] < 60
    assert rows["reuse", 10]["speedup"] > rows["reuse", 14]["speedup"] > 1.5
    assert rows[ALL_FULL, 50]["psnr"] == 100
    assert "plain: guidance 5, shift 3; captions: 1" in printed
    assert printed.count("| reuse ") == 2


def test_errors_of_forecasts_are_kept_by_step(work):
    records = [json.loads(line) for line in (work / "results.jsonl").read_text().splitlines()]
    [errors] = [record["forecast_errors"] for record in records if record["target"] == 10 and record["row"] == ROW]
    assert [step for step, _ in errors] == [5, 11, 16, 22, 27, 33, 38, 44, 49]
    assert all(0 < error < 2 for _, error in errors)


def test_what_is_there_is_not_rendered_again(work, capsys):
    before = (work / "results.jsonl").read_bytes()
    main(["--captions", "1", "--regime", "plain", "--row", ROW, "--work", str(work)])
    assert (work / "results.jsonl").read_bytes() == before


def test_plots_are_written_where_there_are_points(work, capsys):
    report(work, capsys, "--plots", str(work / "plots"))
    assert list((work / "plots").iterdir()) == []  # no row of the plots has been rendered


def test_page_has_the_tables_and_says_which_command_writes_it(work, capsys):
    report(work, capsys, "--page", str(work / "quality.md"))
    text = (work / "quality.md").read_text()
    assert text.startswith("# Quality\n") and text.endswith("## Plots\n")
    assert "`python -m benchmarks.quality --report --page docs/quality.md`" in text
    assert "## The regime plain: guidance 5" in text and text.count("| reuse ") == 2


def test_page_shows_plots_by_their_paths_from_it():
    text = page({}, [Path("q/psnr_hard.png"), Path("q/error_plain_14.png")])
    assert "![PSNR against full rounds, hard regime](q/psnr_hard.png)" in text
    assert "![Error of the forecasts along the steps, plain regime, 14 full rounds](q/error_plain_14.png)" in text


def test_no_captions_are_refused(capsys):
    with pytest.raises(SystemExit):
        main(["--captions", "0"])
    assert "--captions=0 must be at least 1" in capsys.readouterr().err
