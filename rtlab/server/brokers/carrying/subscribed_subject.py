"""One subject to which a carrier has subscribed, and its handlers; both outlive single links."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Generator
from typing import Any

from rtlab.server.brokers.carrying.carrier_interface import Carried, CarriedHandler, GapHandler

__all__ = ["Listening", "SubjectHandler", "report"]


def report(error: Exception, what: str) -> None:
    """Pass a handler's exception to the loop's exception handler.

    Parameters
    ----------
    error : Exception
        What the handler raised.
    what : str
        Says which handler failed.
    """
    asyncio.get_running_loop().call_exception_handler({"message": what, "exception": error})


class SubjectHandler:
    """One handler of a subject.

    Parameters
    ----------
    handler : callable
        Called with each message.
    on_gap : callable or None
        Called when messages may be missing.
    """

    __slots__ = ("closed", "handler", "on_gap")

    def __init__(self, handler: CarriedHandler, on_gap: GapHandler | None) -> None:
        self.handler = handler
        self.on_gap = on_gap
        self.closed = False


class Listening:
    """See `Attachment`.

    Parameters
    ----------
    name, subject : str
        The subject's name at the broker, and as the subscriber wrote it.
    """

    def __init__(self, name: str, subject: str) -> None:
        self.name = name
        self.subject = subject
        self.position: Any = None
        #: Whether the subject was attached before, on this link or an earlier one.
        self.attached = False
        self.places: list[SubjectHandler] = []
        self._held: list[Carried] | None = None

    def deliver(self, body: bytes, message_id: str | None, position: Any = None) -> None:
        """See `Attachment.deliver`."""
        self.position = position
        message = Carried(self.subject, body, message_id)
        if self._held is not None:
            self._held.append(message)
        else:
            self._hand_over(message)

    @contextlib.contextmanager
    def holding(self) -> Generator[list[str]]:
        """Hold messages back during a block; first announce the gaps whose reasons are put into the list.

        Yields
        ------
        list of str
            Reasons of gaps.
        """
        gaps: list[str] = []
        held: list[Carried] = []
        self._held = held
        try:
            yield gaps
        finally:
            self._held = None
            for reason in gaps:
                self._tell_gap(reason)
            for message in held:
                self._hand_over(message)

    def _hand_over(self, message: Carried) -> None:
        for place in tuple(self.places):
            if not place.closed:
                try:
                    place.handler(message)
                except Exception as error:
                    report(error, f"a handler of {self.subject!r} failed")

    def _tell_gap(self, reason: str) -> None:
        for place in tuple(self.places):
            if place.on_gap is not None and not place.closed:
                try:
                    place.on_gap(reason)
                except Exception as error:
                    report(error, f"a gap handler of {self.subject!r} failed")
