"""Hooks a recorder onto a connection."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final, Protocol, cast

import msgspec

from rtlab.client.event_emitter import event_fields
from rtlab.processes.monotonic_clock_boot_id import boot_id

if TYPE_CHECKING:
    from collections.abc import Callable

    from rtlab.client.event_emitter import Handler
    from rtlab.measure.preallocated_sample_log import SampleLog
    from rtlab.protocol.message_format import Message

__all__ = ["Attachment", "Source", "clock_problem"]

_EVENTS: Final = ("connected", "moved", "reconnecting", "disconnected", "resync", "error")


def clock_problem(welcome: Any, own: str | None) -> str | None:
    """Return why one-way latency to the sender of a welcome is unknown, or None when it is known.

    Parameters
    ----------
    welcome : Message, dict or None
        The welcome message, or its payload.
    own : str or None
        This machine's boot id.
    """
    payload = getattr(welcome, "payload", welcome)
    if not isinstance(payload, dict):
        return "no welcome message was seen, so the clocks may differ: only round trips are reported"
    theirs = cast("dict[str, Any]", payload).get("bootId")
    if own is None or theirs is None:
        return "the boot id is unknown, so the clocks may differ: only round trips are reported"
    if theirs != own:
        return "the server runs on another machine, with another clock: only round trips are reported"
    return None


class Source(Protocol):
    """What a recorder needs of a connection: its two subscription methods."""

    def on(self, name: str, handler: Handler) -> object: ...

    def off(self, name: str, handler: Handler) -> object: ...


class Attachment:
    """The hooks that one `Recorder.attach` made; `detach` takes them off.

    Parameters
    ----------
    log : SampleLog
        Gets the samples, and the connection's events as marks.
    others : list of Attachment
        The log's attachments, which this one joins until it is detached.
    source : Source
        The connection, or a replay of one.
    series, type : str
        Name of the series, and the type of the messages that become its samples.
    common_clock : bool or None
        As in `Recorder.attach`.
    """

    def __init__(
        self,
        log: SampleLog,
        others: list[Attachment],
        source: Source,
        series: str,
        type: str,
        common_clock: bool | None,
    ) -> None:
        self.source = source
        self._log = log
        self._others = others
        self._type = type
        self._series = log.add_series(series, round_trip=type == "echo")
        # A replay has the boot id of the machine that recorded it.
        self._own = getattr(source, "boot_id", None) or boot_id()
        self._hooks: list[tuple[str, Callable[[Any], None]]] = [(type, self._sampler(series))]
        if common_clock is None:
            self._check(getattr(source, "welcome", None))
            self._hooks += [("welcome", self._check), ("connected", self._check_again)]
        else:
            self._series.no_clock = None if common_clock else "the caller said that the clocks differ"
        if all(other.source is not source for other in others):
            self._hooks += [(kind, self._marker(kind, series)) for kind in _EVENTS]
        for name, handler in self._hooks:
            source.on(name, handler)
        others.append(self)

    def detach(self) -> None:
        """Take the hooks off; the samples stay. A second call does nothing."""
        for name, handler in self._hooks:
            self.source.off(name, handler)
        self._hooks.clear()
        if self in self._others:
            self._others.remove(self)

    def __enter__(self) -> Attachment:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.detach()

    def __repr__(self) -> str:
        return f"<Attachment: {self._type} → {self._series.name!r}, {'on' if self._hooks else 'detached'}>"

    def _sampler(self, series: str) -> Callable[[Message], None]:
        clock, record = self._log.clock, self._log.record

        def sample(message: Message) -> None:
            received = clock()
            payload = message.payload
            size = len(payload.get("pad", "")) if payload.__class__ is dict else 0
            ts, sent = message.ts, message.sent
            record(series, math.nan if ts is None else ts, math.nan if sent is None else sent, size, received)

        return sample

    def _marker(self, kind: str, series: str) -> Callable[[Any], None]:
        """Return a handler of one event kind; its marks name the series, as several may share a plot."""

        def mark(event: Any) -> None:
            text = str(getattr(event, "reason", "") or getattr(event, "message", ""))
            if kind == "moved":
                text = f"{event.former} to {event.transport}"
            at, fields = getattr(event, "at", None), {**event_fields(event), "series": series}
            text = f"{series}: {text}" if text else series
            self._log.mark(kind, text, at, event=msgspec.json.encode(fields).decode())

        return mark

    def _check(self, welcome: Any) -> None:
        self._series.no_clock = clock_problem(welcome, self._own)
        payload = getattr(welcome, "payload", welcome)
        if isinstance(payload, dict):
            self._series.coarse_timer = cast("dict[str, Any]", payload).get("feedTimer") == "loop"

    def _check_again(self, event: object) -> None:
        welcome = getattr(self.source, "welcome", None)
        if welcome is not None:
            self._check(welcome)
