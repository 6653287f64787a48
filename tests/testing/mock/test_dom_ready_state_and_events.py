"""The WHATWG's WebSocket standard as a table: what a page does, what the peer does, what the page sees.

A row is a line of moves, and what a listener of all four events noted. Moves of the page: ``send:x``,
``close``, ``close:4000:why``; of the peer: ``P.send:x``, ``P.close:1012:why``, ``P.reset``, ``P.nonsense``,
``P.ping``, ``P.vanish``; ``.`` lets everything happen; ``?`` notes the ready state, ``b?`` the buffered
amount. A refused call is noted as ``!Error``, an event with the ready state in which it was told.
"""

from __future__ import annotations

import asyncio
import gc

import pytest

from rtlab.testing.fake_clock import FakeClock
from rtlab.testing.mock.dom_argument_checks import DOMError
from rtlab.testing.mock.mock_script_steps import PeerScript, echo
from rtlab.testing.mock.mock_websocket import MockWebSocket

FINE = PeerScript()
SLOW = PeerScript().slow_open(0.5)
ECHO = PeerScript().answer(echo)
NOBODY = PeerScript().refuse()
BUSY = PeerScript().refuse(503)
LONG = "x" * 124
OPEN = "open/OPEN"
END = "close/CLOSED"

ROWS = [
    # CONNECTING
    (FINE, "?", "CONNECTING"),
    (SLOW, "send:x", "!InvalidStateError"),
    (SLOW, "send:x ?", "!InvalidStateError CONNECTING"),
    (SLOW, "send:x b?", "!InvalidStateError 0"),
    (SLOW, "send:x .", f"!InvalidStateError {OPEN}"),
    (SLOW, "close ?", "CLOSING"),
    (SLOW, "close .", f"error/CLOSED {END}:1006"),
    (SLOW, "close:1000 . ?", f"error/CLOSED {END}:1006 CLOSED"),
    (SLOW, "close:4000:bye .", f"error/CLOSED {END}:1006"),
    (SLOW, "close close .", f"error/CLOSED {END}:1006"),
    (SLOW, "close send:x b? .", f"1 error/CLOSED {END}:1006"),
    (SLOW, "close:1001", "!InvalidAccessError"),
    (SLOW, "close:1001 ? .", f"!InvalidAccessError CONNECTING {OPEN}"),
    (SLOW, f"close:1000:{LONG} ?", "!SyntaxError CONNECTING"),
    (SLOW, ".", OPEN),
    (SLOW, "P.reset . ?", f"error/CLOSED {END}:1006 CLOSED"),
    (NOBODY, ".", f"error/CLOSED {END}:1006"),
    (NOBODY, "? . ?", f"CONNECTING error/CLOSED {END}:1006 CLOSED"),
    (BUSY, ".", f"error/CLOSED {END}:1006"),
    (BUSY, ". send:x b?", f"error/CLOSED {END}:1006 1"),
    (BUSY, "close .", f"error/CLOSED {END}:1006"),
    # OPEN: messages
    (FINE, ". ?", f"{OPEN} OPEN"),
    (ECHO, ". send:x .", f"{OPEN} message/OPEN:x"),
    (ECHO, ". send:x b?", f"{OPEN} 1"),
    (ECHO, ". send:x . b?", f"{OPEN} message/OPEN:x 0"),
    (ECHO, ". send:é b?", f"{OPEN} 2"),
    (ECHO, ". send:a send:b .", f"{OPEN} message/OPEN:a message/OPEN:b"),
    (PeerScript().send("early"), ".", f"{OPEN} message/OPEN:early"),
    (PeerScript().send("a", "b").close(1000), ".", f"{OPEN} message/OPEN:a message/OPEN:b {END}:1000:clean"),
    (FINE, ". P.send:x", OPEN),
    (FINE, ". P.send:x .", f"{OPEN} message/OPEN:x"),
    (FINE, ". P.ping . ?", f"{OPEN} OPEN"),
    (FINE, ". P.vanish send:abc . b?", f"{OPEN} 3"),
    # OPEN: the page closes
    (FINE, ". close ?", f"{OPEN} CLOSING"),
    (FINE, ". close .", f"{OPEN} {END}:1005:clean"),
    (FINE, ". close:1000 .", f"{OPEN} {END}:1000:clean"),
    (FINE, ". close:1000:bye .", f"{OPEN} {END}:1000:bye:clean"),
    (FINE, ". close:3000 .", f"{OPEN} {END}:3000:clean"),
    (FINE, ". close:4999 .", f"{OPEN} {END}:4999:clean"),
    (FINE, ". close:999", f"{OPEN} !InvalidAccessError"),
    (FINE, ". close:1001", f"{OPEN} !InvalidAccessError"),
    (FINE, ". close:1005", f"{OPEN} !InvalidAccessError"),
    (FINE, ". close:1006", f"{OPEN} !InvalidAccessError"),
    (FINE, ". close:2999", f"{OPEN} !InvalidAccessError"),
    (FINE, ". close:5000", f"{OPEN} !InvalidAccessError"),
    (FINE, ". close:1001 . ?", f"{OPEN} !InvalidAccessError OPEN"),
    (FINE, f". close:1000:{LONG} . ?", f"{OPEN} !SyntaxError OPEN"),
    (FINE, f". close:1000:{LONG[1:]} .", f"{OPEN} {END}:1000:{LONG[1:]}:clean"),
    (ECHO, ". send:x close .", f"{OPEN} {END}:1005:clean"),
    (FINE, ". P.vanish close . ?", f"{OPEN} CLOSING"),
    (FINE, ". P.vanish close . . ?", f"{OPEN} CLOSING"),
    # OPEN: the peer closes, or something else does
    (FINE, ". P.close:1000 .", f"{OPEN} {END}:1000:clean"),
    (FINE, ". P.close:1012:restart .", f"{OPEN} {END}:1012:restart:clean"),
    (FINE, ". P.close:1011 .", f"{OPEN} {END}:1011:clean"),
    (FINE, ". P.close:4001 . ?", f"{OPEN} {END}:4001:clean CLOSED"),
    (FINE, ". P.close:1000 ?", f"{OPEN} OPEN"),
    (FINE, ". P.send:x P.close:1000 .", f"{OPEN} message/OPEN:x {END}:1000:clean"),
    (FINE, ". P.reset .", f"{OPEN} {END}:1006"),
    (FINE, ". P.reset ?", f"{OPEN} OPEN"),
    (FINE, ". P.send:x P.reset .", f"{OPEN} message/OPEN:x {END}:1006"),
    (FINE, ". P.nonsense .", f"{OPEN} error/CLOSED {END}:1006"),
    (PeerScript().close(1008, "no"), ".", f"{OPEN} {END}:1008:no:clean"),
    # CLOSING
    (FINE, ". close P.send:late .", f"{OPEN} {END}:1005:clean"),
    (FINE, ". P.send:late close .", f"{OPEN} {END}:1005:clean"),
    (FINE, ". close send:ab b? .", f"{OPEN} 2 {END}:1005:clean"),
    (FINE, ". close close:4000 .", f"{OPEN} {END}:1005:clean"),
    (FINE, ". close close:1001", f"{OPEN} !InvalidAccessError"),
    (FINE, ". close P.reset .", f"{OPEN} {END}:1006"),
    (FINE, ". close P.close:1012 .", f"{OPEN} {END}:1012:clean"),
    (FINE, ". P.vanish close send:x . b?", f"{OPEN} 1"),
    # CLOSED
    (FINE, ". close . ?", f"{OPEN} {END}:1005:clean CLOSED"),
    (FINE, ". close . close ?", f"{OPEN} {END}:1005:clean CLOSED"),
    (FINE, ". close . close:1001", f"{OPEN} {END}:1005:clean !InvalidAccessError"),
    (FINE, ". close . send:abc b?", f"{OPEN} {END}:1005:clean 3"),
    (FINE, ". close . send:abc send:d b?", f"{OPEN} {END}:1005:clean 4"),
    (FINE, ". close . P.send:x .", f"{OPEN} {END}:1005:clean"),
    (FINE, ". close . P.close:1000 .", f"{OPEN} {END}:1005:clean"),
    (FINE, ". P.reset . send:x b? ?", f"{OPEN} {END}:1006 1 CLOSED"),
]


async def play(script: PeerScript, moves: str) -> str:
    ws, seen = MockWebSocket(script), []

    def note(event):
        parts = [f"{event.type}/{ws.ready_state.name}"]
        if event.type == "message":
            parts.append(str(event.data))
        elif event.type == "close":
            parts += [str(event.code), event.reason, "clean" if event.was_clean else ""]
        seen.append(":".join(part for part in parts if part))

    for name in ("open", "message", "error", "close"):
        ws.add_event_listener(name, note)
    for move in moves.split():
        what, *arguments = move.split(":")
        try:
            match what, *arguments:
                case (".",):
                    await asyncio.sleep(1)
                case ("?",):
                    seen.append(ws.ready_state.name)
                case ("b?",):
                    seen.append(str(ws.buffered_amount))
                case ("send", text):
                    ws.page_send(text)
                case ("close", *given):
                    ws.page_close(*[int(x) if x.isdecimal() else x for x in given])
                case ("P.send", text):
                    ws.peer.send(text)
                case ("P.close", code, *reason):
                    ws.peer.close(int(code), *reason)
                case _:
                    names = {"P.reset": "reset", "P.nonsense": "break_protocol"}
                    getattr(ws.peer, names.get(what, what[2:]))()
        except DOMError as error:
            seen.append(f"!{error.name}")
    return " ".join(seen)


def test_the_table_has_the_rows_it_promises():
    assert len(ROWS) >= 60
    assert len({(id(script), moves) for script, moves, _ in ROWS}) == len(ROWS)


def test_a_page_sees_what_the_standard_says():
    clock = FakeClock()
    told = [(repr(script), moves, clock.run(play(script, moves))) for script, moves, _ in ROWS]
    assert told == [(repr(script), moves, seen) for script, moves, seen in ROWS]


def test_a_close_that_nobody_answers_ends_with_1006():
    assert FakeClock().run(play(FINE, ". P.vanish close " + ". " * 11)) == f"{OPEN} {END}:1006"


@pytest.mark.parametrize(
    ("url", "protocols"),
    [
        ("nonsense", ()),
        ("ftp://host/", ()),
        ("ws://", ()),
        ("ws://host/#part", ()),
        ("ws://host/#", ()),
        ("ws://host:port/", ()),
        ("ws://host/", ("a", "a")),
        ("ws://host/", ("a b",)),
        ("ws://host/", ("",)),
        ("ws://host/", ("é",)),
    ],
)
def test_a_page_is_refused_what_a_browser_refuses(url: str, protocols: tuple[str, ...]):
    async def make():
        return MockWebSocket(url=url, protocols=protocols)

    with pytest.raises(DOMError, match="SyntaxError"):
        FakeClock().run(make())


def test_an_http_url_is_a_websocket_url():
    async def make():
        return [MockWebSocket(url=url).url for url in ("http://host/a", "HTTPS://http.test/b")]

    assert FakeClock().run(make()) == ["ws://host/a", "wss://http.test/b"]


@pytest.mark.parametrize("error", [ZeroDivisionError, asyncio.CancelledError])
def test_a_listener_that_raises_stops_no_other_and_is_reported(error):
    def broken(event):
        raise error

    async def later(event): ...

    async def run():
        told, reported = [], []
        asyncio.get_running_loop().set_exception_handler(lambda _, context: reported.append(context))
        ws = MockWebSocket()
        ws.on_open = broken
        ws.add_event_listener("open", later)
        ws.add_event_listener("open", lambda event: told.append(event.type))
        await asyncio.sleep(1)
        return told, [type(context["exception"]) for context in reported]

    assert FakeClock().run(run()) == (["open"], [error, TypeError])
    gc.collect()  # warnings are errors: one about a coroutine that was never awaited would fail this


def test_a_listener_is_told_once_and_not_after_an_earlier_one_has_removed_it():
    async def run():
        told, ws = [], MockWebSocket()

        def first(event):
            told.append("first")
            ws.remove_event_listener("open", second)

        def second(event):
            told.append("second")

        for listener in (first, second, first):
            ws.add_event_listener("open", listener)
        await asyncio.sleep(1)
        return told

    assert FakeClock().run(run()) == ["first"]


def test_a_listener_that_is_added_while_an_event_is_told_hears_the_next_one():
    async def run():
        told, ws = [], MockWebSocket()

        def first(event):
            told.append("first")
            ws.add_event_listener("open", lambda event: told.append("second"))

        ws.on_open = first
        await asyncio.sleep(1)
        return told

    assert FakeClock().run(run()) == ["first"]


def test_a_listener_that_the_open_event_sets_hears_what_came_with_the_handshake():
    async def run():
        told, ws = [], MockWebSocket(PeerScript().send("a", "b"))

        def opened(event):
            ws.on_message = lambda event: told.append(event.data)

        ws.on_open = opened
        await asyncio.sleep(1)
        return told

    assert FakeClock().run(run()) == ["a", "b"]


def test_a_listener_of_nothing_is_refused():
    async def run():
        MockWebSocket().add_event_listener("opne", print)

    with pytest.raises(ValueError, match="expected one of open, message, error, close"):
        FakeClock().run(run())
