"""An open-loop load whose rate and batching window can change while it runs, and what it costs.

The counts describe the present setting only: a change of rate or window restarts them.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import closing, suppress
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol

import numpy as np

from rtlab.measure.cpu_time import CpuWatch
from rtlab.measure.observed_batch_window import ObservedBatchWindow
from rtlab.protocol.message_format import fields_of
from rtlab.server.event_loop.high_resolution_timer import SendTimer, open_timer

if TYPE_CHECKING:
    from rtlab.client.connection import Connection
    from rtlab.measure.recorder import Recorder
    from rtlab.protocol.message_format import Message

__all__ = ["BatchingLoad", "LoadCounts"]

#: Seconds over which counts are taken.
_SPAN: Final = 3.0
#: Longest lag behind the schedule, in seconds. A sender that lags more skips the rest of its backlog,
#: because the machine cannot keep up with this rate.
_BEHIND: Final = 0.5
#: Seconds that sending the last batch may take when the load ends.
_GOODBYE: Final = 0.2
#: Bytes of padding in each message.
_SIZE: Final = 64
#: Messages after which a sender that is behind its schedule yields, so that the loop reads echoes.
_TURN: Final = 32


class _Batcher(Protocol):
    async def send(self, type: str, payload: Any = None) -> object: ...
    async def close(self) -> None: ...


class LoadCounts(NamedTuple):
    """Throughput, delay and CPU cost of the present setting; NaN before the first frame.

    Parameters
    ----------
    messages : int
        Number of messages that the other fields are computed from.
    frames_per_s, bytes_per_s : float
        Frames, and their encoded bytes, sent to the server per second.
    per_frame : float
        Mean number of messages in a frame.
    delay : float
        Mean seconds that a message waited for its batch to leave.
    server_cpu, client_cpu : float
        CPU seconds per message of the server's process, and of the whole of this process.
    """

    messages: int
    frames_per_s: float
    bytes_per_s: float
    per_frame: float
    delay: float
    server_cpu: float
    client_cpu: float


class _Snapshot(NamedTuple):
    at: float
    messages: int
    frames: int
    waited: float
    bytes_out: int
    server: float
    client: float


class BatchingLoad:
    """Sends echo requests at random moments through a batcher, as long as `run` runs.

    Parameters
    ----------
    conn : Connection
        An open connection.
    make_batcher : callable
        Makes a batcher from a window, such as ``lambda window: MessageBatcher(conn, window=window)``.
    server_pid : int
        Process id of the server, whose CPU time is measured.
    recorder : Recorder
        Gets a sample as each echo arrives: series ``"echo, batched"``, a round trip.
    seed : int
        Seed of the random send times.
    """

    def __init__(
        self,
        conn: Connection,
        make_batcher: Callable[[ObservedBatchWindow], _Batcher],
        server_pid: int,
        recorder: Recorder,
        *,
        seed: int = 0,
    ) -> None:
        self._conn = conn
        self._make_batcher = make_batcher
        self._cpu = CpuWatch(server_pid)
        self._recorder = recorder
        self._rng = np.random.default_rng(seed)
        self._changed = asyncio.Event()
        self._rate, self._limit, self._wait = 1.0, 1, 0.0
        self._messages = self._frames = self._generation = 0
        self._waited = 0.0
        self._snapshots: deque[_Snapshot] = deque()
        recorder.add_series("echo, batched", round_trip=True)

    def set(self, rate: float, limit: int, wait: float) -> None:
        """From now on send `rate` messages per second, in batches of `limit` or after `wait` seconds."""
        self._rate, self._limit, self._wait = rate, limit, wait
        self._changed.set()
        self._snapshots.clear()

    def counts(self) -> LoadCounts:
        """Return the counts of the last 3 s, or since the last change; to be called twice a second."""
        server, client, _ = self._cpu.read()
        now = _Snapshot(
            time.monotonic(),
            self._messages,
            self._frames,
            self._waited,
            self._conn.stats.bytes_out,
            server,
            client,
        )
        seen = self._snapshots
        seen.append(now)
        while len(seen) > 2 and now.at - seen[0].at > _SPAN:
            seen.popleft()
        first = seen[0]
        span, messages, frames = now.at - first.at, now.messages - first.messages, now.frames - first.frames
        if not frames or not span:
            return LoadCounts(0, *[np.nan] * 6)
        return LoadCounts(
            messages,
            frames / span,
            (now.bytes_out - first.bytes_out) / span,
            messages / frames,
            (now.waited - first.waited) / messages,
            (now.server - first.server) / messages,
            (now.client - first.client) / messages,
        )

    async def run(self) -> None:
        """Send until cancelled; then close every batcher and remove the echo handler."""
        self._conn.on("echo", self._came)
        try:
            async with asyncio.TaskGroup() as closing_batchers:
                with closing(open_timer(time.monotonic)) as timer:
                    while True:
                        await self._with_one_window(closing_batchers, timer)
        finally:
            self._conn.off("echo", self._came)

    async def _with_one_window(self, group: asyncio.TaskGroup, timer: SendTimer) -> None:
        self._changed.clear()
        self._snapshots.clear()
        self._generation += 1
        mine = self._generation

        def left(messages: int, delay: float, _late: float | None) -> None:
            if mine == self._generation:  # batches of a former window do not count
                self._messages += messages
                self._frames += 1
                self._waited += messages * delay

        batcher = self._make_batcher(
            ObservedBatchWindow(batch_size=self._limit, flush_interval=self._wait, left=left)
        )
        try:
            await self._send(batcher.send, timer.until)
        except BaseException:
            with suppress(TimeoutError):  # Stop must not wait for a stalled connection
                async with asyncio.timeout(_GOODBYE):
                    await batcher.close()
            raise
        group.create_task(batcher.close())

    async def _send(
        self,
        send: Callable[[str, Any], Awaitable[object]],
        until: Callable[[float], Awaitable[None]],
    ) -> None:
        """Send with one window until the setting changes."""
        due, pad = time.monotonic(), "x" * _SIZE
        for n in range(1 << 62):
            due += self._rng.exponential(1 / self._rate)
            due = max(due, time.monotonic() - _BEHIND)
            while due > (now := time.monotonic()):
                if self._changed.is_set():
                    return
                await until(min(due, now + 0.1))
            if n % _TURN == 0:
                await asyncio.sleep(0)
                if self._changed.is_set():
                    return
            await send("echo", {"due": due, "pad": pad})

    def _came(self, message: Message) -> None:
        due = fields_of(message.payload).get("due")
        if isinstance(due, float):
            self._recorder.record("echo, batched", due, size=_SIZE)
