from __future__ import annotations

import pytest

from rtlab.bench.suites import hooks as bench_hooks
from rtlab.capture.tcp_tap import TappedConnection
from rtlab.hooks.unrendered_messages import UnrenderedMessages
from rtlab.lab.lab import Lab
from rtlab.protocol.websocket_framing import PONG, TEXT, websocket_frame

QUICK = {"REPEATS": 1, "RATE": 5_000, "MESSAGES": 500, "COMPONENTS": 5, "STEPS": 12}


@pytest.fixture
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {**QUICK, "BEAT": 0.001}.items():
        monkeypatch.setattr(bench_hooks, name, value)


@pytest.mark.usefixtures("_quick")
async def test_nothing_is_lost_and_nothing_left():
    lost, renders, cpu, at_once, left, pings, too_many = await bench_hooks.run(Lab.start)
    assert (lost.value, at_once.value, left.value, too_many.value) == (0, 1, 0, 0)
    assert 0 < pings.value <= (pings.peer_value or 0)
    assert renders.value > 0
    assert cpu.peer == "bare callback"


@pytest.mark.usefixtures("_quick")
async def test_a_message_that_a_render_forgets_is_missed(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(UnrenderedMessages, "pending", lambda self: tuple(self._pending[-1:]))

    def forget(self: UnrenderedMessages, count: int) -> None:
        self._pending.clear()
        self.taken += count

    monkeypatch.setattr(UnrenderedMessages, "commit", forget)
    lost = (await bench_hooks.run(Lab.start))[0]
    assert lost.value > 0


@pytest.mark.parametrize("at_a_time", [1, 2])
def test_pings_are_counted_as_the_server_answered_them(at_a_time: int):
    socket = TappedConnection(0, 1 << 16)
    socket.saw(True, b"GET /ws HTTP/1.1\r\n\r\n", 10.0)
    socket.saw(False, b"HTTP/1.1 101 Switching Protocols\r\n\r\n" + websocket_frame(TEXT, b"{}"), 10.01)
    for number in range(1, 11):
        for _ in range(at_a_time):
            socket.saw(True, bytes((0x89, 0x80, *bytes(4))), 10.01 + number * bench_hooks.BEAT)
            socket.saw(False, websocket_frame(PONG, b""), 10.02 + number * bench_hooks.BEAT)
    socket.saw(True, bytes((0x89, 0x80, *bytes(4))), 10.01 + 10 * bench_hooks.BEAT)  # it went unanswered
    assert bench_hooks._heartbeats(socket) == (10, 10 * at_a_time)
