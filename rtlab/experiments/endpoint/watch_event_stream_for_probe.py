"""Reads an event stream on a bare connection: its events, its comments (heartbeats), and how it ends."""

from __future__ import annotations

from rtlab.client.transports.sse_decoder import SseDecoder, SseEvent
from rtlab.errors import MessageTooLarge
from rtlab.experiments.endpoint.timed_connect_steps import Wire
from rtlab.protocol.http1_message_parser import Body, Head, NotHttp

__all__ = ["EventStream"]


class EventStream:
    """Reads the body of an answer as an event stream.

    Parameters
    ----------
    wire : Wire
        A connection on which the head of the answer has been read.
    head : Head
        The head of that answer.

    Attributes
    ----------
    comments : int
        Number of comments received so far.
    end : str
        How the stream ended, in words; empty while it is open.
    """

    def __init__(self, wire: Wire, head: Head) -> None:
        self.end = ""
        self._wire, self._decoder = wire, SseDecoder()
        try:
            self._body = Body(head)
        except NotHttp:
            self.end = "its Content-Length is no number (RFC 9110 §8.6)"

    @property
    def comments(self) -> int:
        return self._decoder.comments

    async def next(self, timeout: float) -> list[SseEvent]:
        """Return the events in the next piece of data; an empty list at the end of the stream.

        Raises
        ------
        TimeoutError
            When no data arrived for `timeout` seconds.
        """
        data = await self._wire.more(timeout)
        if not data:
            self.end = "the connection has ended"
            return []
        try:
            content, _ = self._body.feed(data)
            events = self._decoder.feed(content)
        except NotHttp:
            self.end = "its body is no chunked coding (RFC 9112 §7.1)"
            return []
        except MessageTooLarge as error:
            self.end = str(error)
            return []
        if self._body.done:
            self.end = "the answer is complete"
        return events
