from __future__ import annotations

import pytest

from rtlab.capture.xss_detection import SAMPLE_TEXTS, active_markup
from rtlab.widgets.xss_in_sandboxed_frames import SandboxedChat
from tests.browser.lab import chromium, open_browser

WRITINGS = ("innerHTML", "without script", "textContent")


async def test_a_real_browser_runs_what_the_parser_says() -> None:
    if chromium() is None:
        pytest.skip("no Chromium: install the chromium package")
    expected = {n for n, text in enumerate(SAMPLE_TEXTS) if active_markup(text)}
    async with open_browser() as browser:
        page = await browser.new_page()
        shown = SandboxedChat(SAMPLE_TEXTS, WRITINGS)._repr_html_()  # pyright: ignore[reportPrivateUsage]
        await page.set_content(shown)
        ran: list[str] = []
        for number in range(len(WRITINGS)):
            words = page.frame_locator("iframe").nth(number).locator("#ran")
            if number < 2:
                await words.filter(has_text=f"{len(expected)} of 5 ran").wait_for(timeout=30_000)
            ran.append(await words.inner_text())
    assert ran == ["4 of 5 ran as this page", "4 of 5 ran as this page", "nothing ran"]
