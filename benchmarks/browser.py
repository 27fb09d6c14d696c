"""A headless Chromium: the system's own, or the one that playwright has installed."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Browser, sync_playwright

INSTALL = "apt-get install chromium"
_PROGRAMS = ("chromium", "chromium-browser", "google-chrome")


def find_chromium() -> str | None:
    """The program; None where there is none."""
    found = next((path for path in map(shutil.which, _PROGRAMS) if path), None)
    if found:
        return found
    with sync_playwright() as playwright:
        own = playwright.chromium.executable_path
    return own if Path(own).is_file() else None


@contextmanager
def open_browser() -> Iterator[Browser]:
    """A browser for the block.

    Raises:
        FileNotFoundError: there is no Chromium.
    """
    program = find_chromium()
    if program is None:
        raise FileNotFoundError(f"no Chromium on this machine; as root: {INSTALL}")
    # Chromium's sandbox refuses root, as whom containers run.
    arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
    arguments += ["--enable-precise-memory-info"]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=arguments)
        try:
            yield browser
        finally:
            browser.close()
