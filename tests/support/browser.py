"""A person at the Prefect pages: Debian's Chromium, driven by Playwright, with no calls home."""

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from playwright.sync_api import Locator, Page, expect, sync_playwright
from playwright.sync_api import TimeoutError as TooLateError

from tests.support.chromium import QUIET
from tests.support.engines import program

PATIENCE_MS: Final = 60_000
SENDING_MS: Final = 5_000


@contextmanager
def browser_page(width: int = 1280, height: int = 900) -> Iterator[Page]:
    """One page of a new, empty profile."""
    chromium = program("chromium", "chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=str(chromium), args=[one for one in QUIET if one != "--headless"]
        )
        page = browser.new_page(viewport={"width": width, "height": height})
        page.set_default_timeout(PATIENCE_MS)
        expect.set_options(timeout=PATIENCE_MS)  # a server on a busy machine answers late
        yield page
        browser.close()


def open_run(page: Page, ui: str, run: str) -> None:
    """The page of a flow run, in the interface that Prefect shows by default."""
    page.goto(f"{ui}/v2/runs/flow-run/{run}")
    expect(page.get_by_text("Suspended").first).to_be_visible()


def answer_form(page: Page, decision: str, who: str, why: str) -> None:
    """Open the form behind "Resume", fill it in, and send it."""
    form = open_form(page)
    fill_form(form, decision, who, why)
    send_form(form)


def open_form(page: Page) -> Locator:
    """On the page of a run that waits."""
    page.get_by_role("button", name="Open menu").click()
    page.get_by_role("menuitem", name=re.compile("Resume")).click()
    form = page.get_by_role("dialog")
    expect(form).to_be_visible()
    return form


def fill_form(form: Locator, decision: str, who: str, why: str) -> None:
    form.get_by_role("button", name="Select Decision").click()
    form.page.get_by_role("option", name=decision).click()
    form.get_by_label("Who").fill(who)
    form.get_by_label("Why").fill(why)


def send_form(form: Locator) -> None:
    """Again, as a person would, if the server answered 503: on SQLite it does now and then, and the form stays open."""
    end = time.monotonic() + PATIENCE_MS / 1000
    while form.is_visible():
        assert time.monotonic() < end, "the form stays open, however often it is sent"
        with suppress(AssertionError, TooLateError):
            form.get_by_role("button", name=re.compile("Resume|Submit")).click(timeout=SENDING_MS)
            expect(form).to_be_hidden(timeout=SENDING_MS)


def picture(page: Page, target: Path) -> Path:
    """As the person sees it now."""
    page.wait_for_load_state("networkidle")
    page.screenshot(path=str(target))
    return target
