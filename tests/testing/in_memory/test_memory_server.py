from __future__ import annotations

import websockets

from rtlab.server.server_options import Options
from rtlab.testing.fake_clock import FakeClock
from rtlab.testing.in_memory.memory_server import MemoryServer
from rtlab.testing.mock.mock_websocket import MockWebSocket


def test_a_long_reason_is_cut_as_the_real_server_does() -> None:
    async def main() -> tuple[int | None, str]:
        server = MemoryServer(Options(token="t", strict_keys=True))
        async with MockWebSocket(server, close_timeout=1) as ws:
            field = '"' + "k" * 75 + '":1'
            for _ in range(5):  # the fifth strike ends the session, and says why
                await ws.send('{"type":"echo","payload":{' + f"{field},{field}" + "}}")
            try:
                while True:
                    await ws.recv()
            except websockets.ConnectionClosed:
                return ws.close_code, ws.close_reason or ""

    code, reason = FakeClock().run(main())
    assert code == 1008
    assert reason.startswith("too often: ")
    assert len(reason.encode()) == 123
