"""The page for everybody: contrast, names, phones, and no motion where none is wanted."""

import pytest

LOW_CONTRAST = """() => {
  const parts = (colour) => colour.match(/[\\d.]+/g).map(Number);
  const linear = (one) => (one <= 0.04045 ? one / 12.92 : ((one + 0.055) / 1.055) ** 2.4);
  const luminance = ([red, green, blue]) =>
    0.2126 * linear(red / 255) + 0.7152 * linear(green / 255) + 0.0722 * linear(blue / 255);
  const ground = (element) => {
    for (let one = element; one; one = one.parentElement) {
      const colour = parts(getComputedStyle(one).backgroundColor);
      if (colour.length === 3 || colour[3] > 0.99) return colour;
    }
  };
  const isText = (node) => node.nodeType === Node.TEXT_NODE && node.textContent.trim();
  const isRead = (one) =>
    one.namespaceURI === "http://www.w3.org/1999/xhtml" &&
    !one.matches("script, style, noscript, noscript *, option, :disabled, [aria-disabled]") &&
    [...one.childNodes].some(isText);
  const contrast = (one) => {
    const [dark, light] = [getComputedStyle(one).color, ground(one)]
      .map((colour) => luminance(typeof colour === "string" ? parts(colour) : colour))
      .sort((a, b) => a - b);
    return (light + 0.05) / (dark + 0.05);
  };
  const read = [...document.querySelectorAll("body *")].filter(isRead);
  const low = read.filter((one) => contrast(one) < 4.5).map((one) => `${one.tagName}.${one.className}`);
  return { read: read.length, low: [...new Set(low)] };
}"""
"""Texts whose contrast with their ground is below the 4.5 that WCAG 2 asks for."""
NAMELESS = """() => {
  const hasName = (one) =>
    one.innerText?.trim() || one.ariaLabel || one.labels?.length || (one.tagName === "VIDEO" && one.controls);
  const all = [...document.querySelectorAll("button, a, input, select, video:not([aria-hidden])")];
  return { all: all.length, nameless: all.filter((one) => !hasName(one)).map((one) => one.outerHTML) };
}"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_words_can_be_read_on_their_ground(visit, hostile_run, scheme):
    page = visit(hostile_run, color_scheme=scheme).open()
    page.locator(".grid .card").nth(1).click()
    page.wait_for_selector(".rounds-chart svg")
    found = page.evaluate(LOW_CONTRAST)
    assert found["read"] > 60
    assert found["low"] == []


def test_light_and_dark_differ(visit, hostile_run):
    grounds = {
        visit(hostile_run, color_scheme=scheme)
        .open()
        .evaluate("() => getComputedStyle(document.body).backgroundColor")
        for scheme in ("light", "dark")
    }
    assert len(grounds) == 2


def test_everything_to_press_has_a_name(visit, real_run):
    page = visit(real_run.run_folder.root).open()
    page.locator(".grid .card").first.click()
    page.wait_for_selector(".rounds-chart svg")
    found = page.evaluate(NAMELESS)
    assert found["all"] > 15
    assert found["nameless"] == []


def test_nothing_moves_by_itself_where_that_is_not_wanted(visit, real_run):
    page = visit(real_run.run_folder.root, reduced_motion="reduce").open()
    page.locator(".grid .card").nth(2).hover()
    page.wait_for_timeout(600)
    assert page.locator("video").evaluate_all("videos => videos.every(video => video.paused)")
    page.locator(".grid .card").nth(2).click()
    assert page.locator("dialog video").evaluate("video => video.paused && video.controls")


def test_page_fits_a_phone(visit, real_run):
    page = visit(real_run.run_folder.root, is_mobile=True, has_touch=True).open()
    page.set_viewport_size({"width": 360, "height": 740})
    for _ in range(2):
        assert page.evaluate("document.documentElement.scrollWidth") <= 360
        page.locator(".grid .card").first.tap()
        page.wait_for_selector(".rounds-chart svg")
        assert page.locator("dialog").evaluate("dialog => dialog.scrollWidth <= dialog.clientWidth")
        page.get_by_label("Close", exact=True).tap()
