"""The panel behind the page's own transports, with a page that is played by the test."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest

from rtlab.errors import LabError
from rtlab.lab.lab import Lab
from rtlab.widgets import page_transport_button
from rtlab.widgets.page_transport_button import BrowserPage, PageError, RecordedPage

ORIGIN = "http://localhost:8888"
RECORDED = RecordedPage("Chromium 1, recorded", {"streams": 6.0}, {"streams": 8.0})


class FakeLab:
    url = "http://127.0.0.1:1"


class Played(BrowserPage):
    """A panel whose page is here: `steps` has its answers, and notes what was asked."""

    def __init__(self, run: Any, **steps: Any) -> None:
        self.asked: list[str] = []
        self.steps = {"reach": {"reached": True}, "end": {}, **steps}
        super().__init__(cast("Lab", FakeLab()), run, {"streams": "streams"}, RECORDED)

    def send(self, content: Any, buffers: Any = None) -> None:
        step = content["step"]
        self.asked.append(step)
        if (value := self.steps.get(step)) is not None:
            answer = {"error": value} if isinstance(value, str) else {"value": value}
            asyncio.get_running_loop().call_soon(
                self.page_says, {"action": "answer", "id": content["id"], **answer}
            )

    def page_says(self, content: Any) -> None:
        self._handle_custom_msg(content, None)  # pyright: ignore[reportUnknownMemberType]

    async def click(self, origin: str = ORIGIN) -> None:
        self.page_says({"action": "run", "view": "v", "origin": origin})
        await asyncio.sleep(0)


@pytest.fixture
def let_in(monkeypatch: pytest.MonkeyPatch) -> list[str | None]:
    told: list[str | None] = []

    async def note(lab: Any, origin: str | None) -> None:
        told.append(origin)

    monkeypatch.setattr(page_transport_button, "let_page_in", note)
    return told


async def count_streams(page: BrowserPage) -> None:
    page.found("page", streams=(await page.ask("streams"))["opened"])
    page.found("python", streams=8)


async def test_a_click_lets_its_origin_in_and_close_nobody(let_in: list[str | None]) -> None:
    panel = Played(count_streams, streams={"opened": 4})
    assert (panel.page, panel.source, let_in) == ({"streams": 6.0}, RECORDED.browser, [])
    await panel.click()
    await panel.settled()
    assert (panel.page, panel.python, panel.source) == ({"streams": 4}, {"streams": 8}, "this browser")
    assert panel.table == [
        ["", "this browser", "Python client", RECORDED.browser],
        ["streams", "4", "8", "6"],
    ]
    assert (let_in, panel.running) == ([ORIGIN], False)
    panel.close()
    await panel.settled()
    assert let_in == [ORIGIN, None]


@pytest.mark.parametrize(
    ("origin", "steps", "words"),
    [
        ("null", {}, "sandboxed"),
        (
            ORIGIN,
            {"reach": {"reached": False, "host": "hub.example"}},
            "out of reach: this page came from hub",
        ),
        (ORIGIN, {"streams": "EventSource is not defined"}, "EventSource is not defined"),
        (ORIGIN, {"streams": {"no": "such field"}}, "KeyError('opened')"),
        (ORIGIN, {"streams": {"opened": "four"}}, "ValueError"),
    ],
)
async def test_what_does_not_work_is_said_and_the_recorded_run_stays(
    let_in: list[str | None], origin: str, steps: dict[str, Any], words: str
) -> None:
    panel = Played(count_streams, **steps)
    await panel.click(origin)
    await panel.settled()
    assert words in panel.status
    assert panel.tone == "bad"
    assert (panel.page, panel.python) == (RECORDED.page, RECORDED.python)
    assert let_in == ([] if origin == "null" else [ORIGIN])


async def test_stop_ends_a_run_and_the_page_closes_what_it_opened(let_in: list[str | None]) -> None:
    panel = Played(count_streams)  # no answer to "streams"
    await panel.click()
    while "streams" not in panel.asked:
        await asyncio.sleep(0)
    await panel.click()  # a second one does not begin another
    panel.page_says({"action": "stop"})
    await panel.settled()
    assert panel.asked == ["reach", "streams", "end"]
    assert panel.status.startswith("stopped")
    assert not panel.running
    panel.page_says({"action": "answer", "id": 2, "value": {"opened": 1}})  # too late
    await panel.settled()
    assert panel.page == RECORDED.page


async def test_a_lab_that_has_ended_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    async def ended(lab: Any, origin: str | None) -> None:
        raise LabError("expected a running lab")

    monkeypatch.setattr(page_transport_button, "let_page_in", ended)
    panel = Played(count_streams)
    await panel.click()
    await panel.settled()
    assert "expected a running lab" in panel.status
    panel.close()
    await panel.settled()


async def test_an_answer_that_never_comes_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page_transport_button, "_TIMEOUT", 0.01)
    with pytest.raises(PageError, match="no answer for"):
        await Played(count_streams).ask("nobody")
