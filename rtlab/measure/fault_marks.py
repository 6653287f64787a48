"""Marks each action of the fault proxy on the live plot, at the time when the proxy took it."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Final, Protocol, Self

from rtlab.errors import RtlabError
from rtlab.faults.fault_trace import TraceEvent

__all__ = ["FaultEvents", "FaultMarks", "Marked"]

#: Kinds of trace event that are worth a line in a plot. Connections that merely open, or wait, are not.
_SHOWN: Final = frozenset(
    {"toxic_added", "toxic_updated", "toxic_removed", "proxy_up", "proxy_down", "ended", "upstream_failed"}
    | {"script_started", "script_step", "script_ended"}
)


class FaultEvents(Protocol):
    """The fault proxy's trace, as `rtlab.faults.client.fault_client.FaultClient` reads it."""

    async def events(self, since: int = 0) -> list[TraceEvent]:
        """Return the trace from event number `since` on."""
        ...


class Marked(Protocol):
    """Anything that takes marks: a `Recorder`, or a recording of the wire."""

    def mark(self, kind: str, text: str = "", at: float | None = None) -> None: ...


class FaultMarks:
    """Copies the fault proxy's trace into a recorder's marks, inside its ``async with`` block.

    The proxy runs on this machine and reads the same monotonic clock, so a mark has the time
    of the fault, not the time at which this task read the trace.

    Parameters
    ----------
    faults : FaultClient
        ``lab.faults``.
    recorder : Recorder or WireRecording
        Gets a mark of kind ``"fault"`` for each action, and each connection ended.
    interval : float
        Seconds between two reads of the trace.

    Examples
    --------
    In a notebook::

        async with FaultMarks(lab.faults, recorder), plot:
            await lab.faults.play(script)
            await plot.wait(10)
    """

    def __init__(self, faults: FaultEvents, recorder: Marked, *, interval: float = 0.2) -> None:
        if not interval > 0:
            raise ValueError(f"expected interval > 0 seconds, got {interval!r}")
        self._faults = faults
        self._recorder = recorder
        self._interval = interval
        self._next = 0
        self._task: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        past = await self._faults.events()
        self._next = past[-1].n + 1 if past else 0
        self._task = asyncio.get_running_loop().create_task(self._follow(), name="fault marks")
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        assert self._task is not None
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        with contextlib.suppress(RtlabError):  # the proxy has ended; its next caller gets this error
            await self._look()  # events since the last read

    async def _follow(self) -> None:
        while True:
            await asyncio.sleep(self._interval)
            try:
                await self._look()
            except RtlabError:
                return  # the proxy has ended; its next caller gets this error

    async def _look(self) -> None:
        for event in await self._faults.events(self._next):
            self._next = event.n + 1
            if event.kind in _SHOWN:
                self._recorder.mark("fault", _words(event), at=event.t)


def _words(event: TraceEvent) -> str:
    what = event.detail or event.toxic or event.proxy
    if event.kind == "ended":
        lost = f", {event.bytes} B lost" if event.bytes else ""
        return f"connection {event.connection} ended ({what}){lost}"
    return f"{event.kind.replace('_', ' ')}: {what}" if what else event.kind.replace("_", " ")
