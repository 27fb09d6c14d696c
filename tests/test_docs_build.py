"""The pages build without a warning, hold every module, and load nothing from a network."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[1]
PACKAGES = ("spectrum", "parallel", "orchestrator")


@pytest.fixture(scope="module")
def built(tmp_path_factory, command_environment) -> Path:
    """The pages, as `make docs` builds them."""
    output = tmp_path_factory.mktemp("docs")
    done = subprocess.run(
        [sys.executable, "-m", "sphinx", "--fail-on-warning", "--keep-going", "--quiet", "docs", str(output)],
        cwd=PROJECT,
        env=command_environment(PYTHONPATH=str(PROJECT), HF_HUB_OFFLINE="1"),
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return output


@pytest.mark.parametrize("package", PACKAGES)
def test_reference_holds_every_module(built, package):
    """On a page of its own, or, where it is a package, on the page that leads to its modules."""
    files = [file.relative_to(PROJECT) for file in (PROJECT / package).rglob("*.py") if file.stem != "__main__"]
    names = [".".join(file.with_suffix("").parts).removesuffix(".__init__") for file in files]
    assert len(names) > 10
    for name in names:
        page = (built / "api" / package / f"{name}.html").read_text(encoding="utf-8")
        assert f'id="module-{name}"' in page


def test_settings_are_explained_in_the_reference(built):
    page = (built / "api" / "orchestrator" / "orchestrator.config.html").read_text(encoding="utf-8")
    assert 'id="orchestrator.config.ForecastConfig.error_budget"' in page
    assert "Seconds between two checkpoints of a video" in page


def test_pages_load_nothing_from_a_network(built):
    pages = list(built.rglob("*.html"))
    assert len(pages) > 10
    for page in pages:
        text = page.read_text(encoding="utf-8")
        loaded = re.findall(r"<(?:script|img|iframe)[^>]* src=\"([^\"]+)\"|<link[^>]* href=\"([^\"]+)\"", text)
        assert loaded
        assert [one for pair in loaded for one in pair if re.match(r"(https?:)?//", one)] == [], page.name


def test_code_and_equations_in_docstrings_keep_their_lines(built):
    pages = "".join(page.read_text(encoding="utf-8") for page in (built / "api" / "spectrum").glob("*.html"))
    blocks = [re.sub(r"<[^>]+>", "", block) for block in re.findall(r"<pre>(.*?)</pre>", pages, flags=re.S)]
    assert any(
        re.search(r"^import spectrum$.*^spectrum.remove_spectrum", block, flags=re.S | re.M) for block in blocks
    )
    assert any("c = (ΦᵀΦ + λI)⁻¹ Φᵀ H" in block for block in blocks)
