"""A real headless Chromium, and runs for it to show: a real one with references, and one of hostile words."""

import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
from page_runs import HOSTILE, render, tiny

from benchmarks.browser import INSTALL, find_chromium, open_browser
from benchmarks.page_run import make_run
from orchestrator.artifacts import RunFolder, publish_json
from orchestrator.launch_plan import LaunchPlan, plan_launch
from orchestrator.page.files import PageFiles


def pytest_collection_modifyitems(items: Sequence[pytest.Item]) -> None:
    """Without Chromium every test that needs it is skipped, or fails where REQUIRE_CHROMIUM is set, as in CI."""
    here = Path(__file__).parent
    in_browser = [one for one in items if here in one.path.parents and "browser" in getattr(one, "fixturenames", ())]
    if in_browser and not os.environ.get("REQUIRE_CHROMIUM") and find_chromium() is None:
        for item in in_browser:
            item.add_marker(pytest.mark.skip(reason=f"no Chromium on this machine; as root: {INSTALL}"))


@pytest.fixture(scope="session")
def browser() -> Iterator[object]:
    with open_browser() as opened:
        yield opened


class Visit:
    """A page that was opened, and what went wrong in it."""

    def __init__(self, browser: object, root: Path, **options: object) -> None:
        self.context = browser.new_context(viewport={"width": 1200, "height": 900}, **options)
        self.page = self.context.new_page()
        self.page.set_default_timeout(20_000)
        self.errors: list[str] = []
        self.requests: list[str] = []
        self.page.on("console", lambda line: self.errors.append(line.text) if line.type != "info" else None)
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("dialog", lambda box: (self.errors.append(box.message), box.dismiss()))
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.root = root

    def open(self, address: str = "") -> object:
        self.page.goto((self.root / "index.html").as_uri() + address)
        self.page.wait_for_selector("#matches:not(:empty), #notice:not([hidden])")
        return self.page

    def prompts(self) -> list[str]:
        return self.page.locator(".grid .prompt").all_inner_texts()

    def run_folder_alone(self) -> bool:
        """Whether nothing was asked for but files of the run."""
        inside = self.root.as_uri()
        return all(url.startswith((inside, "data:")) for url in self.requests)


@pytest.fixture
def visit(browser) -> Iterator[Callable[..., Visit]]:
    """`visit(root)`: the run's page in a fresh window. In the end nothing may have gone wrong in it."""
    visits: list[Visit] = []

    def make(root: Path, *, may_fail: bool = False, **options: object) -> Visit:
        visits.append(Visit(browser, root, **options))
        visits[-1].may_fail = may_fail
        return visits[-1]

    yield make
    for one in visits:
        one.context.close()
        if not one.may_fail:
            assert one.errors == []
        assert one.run_folder_alone()


@pytest.fixture(scope="session")
def real_run(make_config, tmp_path_factory) -> LaunchPlan:
    """Three rendered videos, two of them also with all rounds full."""
    config = tiny(make_config(tmp_path_factory.mktemp("real")), tmp_path_factory.mktemp("batch"))
    config.quality.reference = 2
    plan = plan_launch(config)
    render(plan)
    return plan


@pytest.fixture(scope="session")
def hostile_run(tmp_path_factory):
    root = tmp_path_factory.mktemp("hostile") / "run<b>&amp;"
    ids = make_run(root, HOSTILE)
    failed = RunFolder(root).video(ids[0])
    failed.sidecar.unlink()
    publish_json(failed.failure, {"error": "<img src=x onerror=alert(4)>", "attempts": 3, "traceback": HOSTILE[1]})
    PageFiles(RunFolder(root)).write()
    return root
