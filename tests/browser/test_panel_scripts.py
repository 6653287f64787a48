"""What panels show when their kernel is busy, late or gone, and beside another panel of their kind."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Browser

from rtlab.client.reconnecting_clients.websocket_connection import WebSocketConnection
from rtlab.measure.recorder import Recorder
from rtlab.testing.recordings.journal import Journal
from rtlab.widgets.live_latency_plot import LatencyPlot
from rtlab.widgets.panels.chat_panel import ChatPanel
from rtlab.widgets.panels.connection_inspector import ConnectionInspector
from rtlab.widgets.panels.metrics_board import READINGS, MetricsBoard
from rtlab.widgets.panels.wire_timeline import WireTimeline
from rtlab.widgets.verdicts.predict import Predict
from tests.browser.bare_page import BarePage, Shown, bare_page
from tests.browser.lab import chromium, open_browser

pytestmark = [pytest.mark.timeout(120), pytest.mark.asyncio(loop_scope="module")]

NOWHERE = "ws://127.0.0.1:9/ws"  # never opened


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def one_browser() -> AsyncIterator[Browser]:
    if chromium() is None:
        pytest.skip("no Chromium: install the chromium package")
    async with open_browser() as running:
        yield running


@pytest_asyncio.fixture(loop_scope="module")
async def bare(one_browser: Browser) -> AsyncIterator[BarePage]:
    async with bare_page(one_browser) as page:
        yield page


# A prediction


async def test_a_commit_that_changes_nothing_is_answered_too(bare: BarePage) -> None:
    shown = await bare.show(Predict("How long?", unit="ms"))
    field, gone = shown.box.locator("input"), shown.box.locator(".rtlab-gone")
    await field.fill("5")
    await field.press("Enter")
    await bare.pass_time(9)
    assert await gone.is_visible()
    await shown.answer()
    await bare.pass_time(2)
    assert not await gone.is_visible()
    await field.fill("6")
    await field.press("Enter")
    await shown.heard()
    await shown.tell({"kind": "answer"})  # as for a text that the kernel cuts to what it has already
    await bare.pass_time(9)
    assert not await gone.is_visible()


async def test_a_prediction_takes_as_many_characters_as_the_kernel(bare: BarePage) -> None:
    shown = await bare.show(Predict("How long?"))
    field = shown.box.locator("input")
    await field.focus()
    await bare.page.keyboard.insert_text("1" * 150)
    assert await field.input_value() == "1" * 100


# A board


def board_message(interval: float, values: list[float | None]) -> dict[str, Any]:
    node = {
        "name": "node-1",
        "up": True,
        "ages": [interval * n for n in reversed(range(len(values)))],
        "series": dict.fromkeys(READINGS, values),
    }
    return {
        "kind": "board",
        "seq": 1,
        "interval": interval,
        "nodes": [node],
        "states": [],
        "fired": [],
        "summary": "",
    }


def board(interval: float = 0.5) -> MetricsBoard:
    return MetricsBoard(["http://127.0.0.1:9"], "token", interval=interval, alerts=())


@pytest.mark.parametrize(("interval", "permitted"), [(0.5, 8), (10, 30)])
async def test_a_board_that_polls_seldom_may_be_silent_for_longer(
    bare: BarePage, interval: float, permitted: float
) -> None:
    shown = await bare.show(board(interval))
    await shown.change(state="running")
    await shown.tell(board_message(interval, [1.0]))
    gone, stop = shown.box.locator(".rtlab-gone"), shown.box.get_by_role("button", name="Stop")
    await bare.pass_time(permitted - 1)
    assert not await gone.is_visible()
    assert await stop.is_enabled()
    await bare.pass_time(3)
    assert await gone.is_visible()
    assert await stop.is_disabled()


#: How many pixels of the canvas have the first node's colour, #0072B2.
BLUE = """canvas => {
  const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
  let found = 0;
  for (let i = 0; i < data.length; i += 4) {
    found += data[i] < 20 && data[i + 1] === 114 && data[i + 2] === 178;
  }
  return found;
}"""


@pytest.mark.parametrize("values", [[5.0], [1.0, None, 5.0, None, 3.0], [None, 5.0, None]])
async def test_a_reading_without_neighbours_is_drawn(bare: BarePage, values: list[float | None]) -> None:
    shown = await bare.show(board())
    canvas = shown.box.locator("canvas")
    await shown.tell(board_message(0.5, [None] * len(values)))
    await bare.pass_time(0.1)
    assert await canvas.evaluate(BLUE) == 0
    await shown.tell(board_message(0.5, values))
    await bare.pass_time(0.1)
    readings = len(values) - values.count(None)
    assert await canvas.evaluate(BLUE) >= 10 * readings


# Two panels of a kind


async def test_a_label_belongs_to_the_control_of_its_own_panel(bare: BarePage) -> None:
    def a_chat() -> ChatPanel:
        return ChatPanel("lobby", {"Ada": WebSocketConnection(NOWHERE)})

    for made in (board, a_chat):
        await bare.show(made())
        await bare.show(made())
    shown = [bare.page.locator(".shown").nth(n) for n in (0, 1)]
    for box in shown:
        assert await box.get_by_label("drawn:").count() == 1
        await box.get_by_label("drawn:").select_option("cpu")
    ids = await bare.page.evaluate("[...document.querySelectorAll('[id]')].map(({ id }) => id)")
    assert len(ids) == len(set(ids)) == 4


# A chat


@pytest_asyncio.fixture(loop_scope="module")
async def chat(bare: BarePage) -> Shown:
    users = {name: WebSocketConnection(NOWHERE) for name in ("Ada", "Bob")}
    shown = await bare.show(ChatPanel("lobby", users))
    await shown.change(entered=True)
    return shown


async def say(chat: Shown, user: str, text: str) -> dict[str, Any]:
    field = chat.box.get_by_label(f"{user} writes")
    await field.fill(text)
    await field.press("Enter")
    (sent,) = await chat.heard()
    assert (sent["action"], sent["user"], sent["text"]) == ("say", user, text)
    return {"kind": "answer", "user": user, "n": sent["n"], "why": ""}


async def test_a_late_answer_clears_the_text_and_the_notice(bare: BarePage, chat: Shown) -> None:
    answer = await say(chat, "Ada", "hi")
    field, lost = chat.box.get_by_label("Ada writes"), chat.box.get_by_text("no answer from the kernel")
    await bare.pass_time(7)
    assert await lost.is_visible()
    assert await field.input_value() == "hi"
    await chat.tell(answer)
    assert await field.input_value() == ""
    assert await lost.count() == 0
    await field.fill("hi")
    await chat.tell(answer)  # of a text that is answered already
    assert await field.input_value() == "hi"


async def test_a_late_answer_leaves_what_was_written_since(bare: BarePage, chat: Shown) -> None:
    answer = await say(chat, "Ada", "hi")
    field = chat.box.get_by_label("Ada writes")
    await bare.pass_time(7)
    await field.fill("hi there")
    await chat.tell(answer)
    assert await field.input_value() == "hi there"
    assert await chat.box.get_by_text("no answer from the kernel").count() == 0
    refused = await say(chat, "Ada", "hi there")
    await bare.pass_time(7)
    await chat.tell({**refused, "why": "the outbox is full"})
    assert await field.input_value() == "hi there"
    assert await chat.box.get_by_text("the outbox is full").is_visible()


async def test_each_seat_waits_for_its_own_answer(bare: BarePage, chat: Shown) -> None:
    await say(chat, "Ada", "hi")
    bob = await say(chat, "Bob", "ho")
    await chat.tell(bob)
    await bare.pass_time(7)
    assert await chat.box.get_by_text("no answer from the kernel").count() == 1
    ada = chat.box.get_by_label("Ada writes")
    assert await ada.is_editable()
    assert await ada.input_value() == "hi"


async def test_two_views_of_a_chat_do_not_take_each_others_answers(bare: BarePage, chat: Shown) -> None:
    other = await bare.show(chat.widget)
    await other.change(entered=True)
    answer = await say(chat, "Ada", "one")
    theirs = await say(other, "Ada", "two")
    for view in (chat, other):
        await view.tell(answer)
    fields = [view.box.get_by_label("Ada writes") for view in (chat, other)]
    assert [await field.input_value() for field in fields] == ["", "two"]
    await other.tell(theirs)
    assert await fields[1].input_value() == ""


# An inspector


async def test_a_connection_whose_kernel_has_gone_ages_no_more(bare: BarePage) -> None:
    shown = await bare.show(ConnectionInspector(WebSocketConnection(NOWHERE)))
    await shown.answer()
    await bare.pass_time(0.1)
    state = shown.box.locator(".rtlab-numbers tr").first
    first = await state.inner_text()
    await bare.pass_time(1)
    second = await state.inner_text()
    assert first != second
    await shown.lose_kernel()
    await bare.pass_time(3)
    assert await state.inner_text() == second


# A timeline


def row(at: float, kind: str = "message") -> list[Any]:
    return [at, kind, "client", "peer", f"line at {at}", "whole", 1]


async def timeline(bare: BarePage) -> Shown:
    shown = await bare.show(WireTimeline(Journal()))
    await shown.answer()
    await bare.pass_time(0.1)
    return shown


async def test_settings_of_a_timeline_need_no_kernel(bare: BarePage) -> None:
    shown = await timeline(bare)
    rows = [row(0.0), row(1.0, "heartbeat"), row(2.0)]
    await shown.tell({"kind": "rows", "rows": rows, "kept": 100, "seq": 1, "fresh": True})
    await bare.pass_time(0.1)
    where = shown.box.locator(".rtlab-where")
    assert "3 of 3" in await where.inner_text()
    await shown.box.get_by_label("heartbeats").uncheck()
    await bare.pass_time(0.1)
    assert "2 of 2" in await where.inner_text()
    await shown.box.get_by_label("speed").select_option("2")
    model = "models[0].state"
    assert await bare.page.evaluate(f"[{model}.speed, {model}.hide]") == [2, ["heartbeat"]]
    await shown.answer()  # the kernel comes to know them too
    assert isinstance(shown.widget, WireTimeline)
    assert (shown.widget.speed, shown.widget.hide) == (2.0, ["heartbeat"])


async def test_a_click_on_an_empty_timeline_does_not_end_the_following(bare: BarePage) -> None:
    shown = await timeline(bare)
    await shown.box.locator("canvas.rtlab-lanes").click()
    await bare.pass_time(0.1)
    for seq, at in ((1, 0.0), (2, 1.0)):
        message = {"kind": "rows", "rows": [row(at)], "kept": 100, "seq": seq, "fresh": seq == 1}
        await shown.tell(message)
        await bare.pass_time(0.1)
    assert "2 of 2" in await shown.box.locator(".rtlab-where").inner_text()


# A plot


async def test_a_plot_counts_all_events_also_those_that_it_no_longer_has(bare: BarePage) -> None:
    recorder = Recorder()
    for n in range(250):
        recorder.mark("fault", str(n))
    shown = await bare.show(LatencyPlot(recorder))
    await shown.answer()
    await bare.pass_time(1)
    assert (await shown.box.locator("summary").inner_text()).startswith("Events: 250. Last:")
