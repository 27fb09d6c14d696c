"""Prompts, errors and folders that mean harm, in a real Chromium: shown as they are, and never obeyed."""

from page_runs import HOSTILE, until


def test_hostile_words_are_shown_as_they_are(visit, hostile_run):
    """No script runs, no element comes of them, and the words are all there."""
    opened = visit(hostile_run)
    page = opened.open()
    shown = page.locator(".grid .prompt").evaluate_all("all => all.map(one => one.textContent)")
    assert shown == HOSTILE
    assert page.locator("img, .grid script, .grid b").count() == 0
    assert page.locator("h1").inner_text() == "run<b>&amp;"
    for index in range(len(HOSTILE)):
        page.locator(".grid .card").nth(index).click()
        page.wait_for_selector("dialog .more h3")
        assert page.locator("#video-prompt").evaluate("one => one.textContent") == HOSTILE[index]
        page.keyboard.press("Escape")
    page.locator("#query").fill("</SCRIPT>")
    until(page, "document.querySelectorAll('.card').length === 2")


def test_text_that_turns_its_direction_stays_in_its_place(visit, hostile_run):
    opened = visit(hostile_run)
    page = opened.open()
    card = page.locator(".grid .card").nth(4)
    card.click()
    page.wait_for_selector("pre.command")
    assert "\u202e" not in page.locator("pre.command").inner_text()
    page.get_by_text("The whole record").click()
    assert "\\u202egnp.exe" in page.locator("pre.record").inner_text()
    assert page.locator("#video-prompt").evaluate("one => getComputedStyle(one).unicodeBidi") == "isolate"


def test_failed_video_shows_its_error(visit, hostile_run):
    page = visit(hostile_run).open("#state=failed")
    card = page.locator(".grid .card")
    assert card.count() == 1
    assert "onerror=alert(4)" in card.inner_text()
    card.click()
    page.wait_for_selector("pre.error")
    assert "after 3 attempts" in page.locator("dialog").inner_text()
    assert page.locator("pre.traceback").inner_text() == HOSTILE[1]
