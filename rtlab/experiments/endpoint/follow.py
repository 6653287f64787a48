"""Round trips to any WebSocket as samples, for the live plot."""

from __future__ import annotations

import asyncio
import math
import ssl as ssl_module

from rtlab.experiments.endpoint.frames import raw_frame
from rtlab.experiments.endpoint.report import not_real_time
from rtlab.experiments.endpoint.wire import dial
from rtlab.measure.recorder import Recorder
from rtlab.protocol.urls import parse_url
from rtlab.protocol.websocket_frames import PING, PONG

__all__ = ["follow"]


async def follow(
    url: str,
    recorder: Recorder,
    *,
    series: str = "foreign",
    seconds: float = 10.0,
    rate: float = 20.0,
    ssl: ssl_module.SSLContext | None = None,
) -> int:
    """Record round trips to any WebSocket, by ping frames; a `LatencyPlot` of the recorder shows them live.

    Parameters
    ----------
    url : str
        ``ws`` or ``wss``, of a server that need not speak rtlab's wire.
    recorder : Recorder
        Where the round trips go.
    series : str
        Their name.
    seconds, rate : float
        How long, and pings per second.
    ssl : ssl.SSLContext, optional
        As for `probe`.

    Returns
    -------
    int
        Round trips recorded; fewer than asked for when the server ends the connection.

    Raises
    ------
    ConnectFailed
        As for `probe`.

    Examples
    --------
    ::

        recorder = Recorder()
        plot = LatencyPlot(recorder)
        display(plot)
        async with plot:
            await follow("ws://127.0.0.1:8000/ws", recorder)
    """
    recorder.add_series(series, round_trip=True)
    target, done = parse_url(url).over("ws"), 0
    async with await dial(target, ssl=ssl) as wire:
        head = await wire.upgrade()
        if head.status != 101:
            raise not_real_time(target, head, "websocket")
        began = recorder.clock()
        for n in range(max(1, math.floor(seconds * rate))):
            await asyncio.sleep(began + n / rate - recorder.clock())
            payload, sent = str(n).encode(), recorder.clock()
            await wire.send(raw_frame(PING, payload))
            try:
                while (frame := await wire.frame()) is not None:
                    if frame.opcode == PONG and frame.payload == payload:
                        break
                    if frame.opcode == PING:
                        await wire.send(raw_frame(PONG, frame.payload))
            except TimeoutError:
                return done
            if frame is None:
                return done
            recorder.record(series, ts=sent)
            done += 1
    return done
