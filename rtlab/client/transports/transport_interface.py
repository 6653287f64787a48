"""The interface of a transport, which the four transports implement and a connection uses."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Protocol

from rtlab.protocol.message_format import Message
from rtlab.protocol.resume_fields import Resume
from rtlab.protocol.urls import Origin

__all__ = ["FOREIGN_AFTER", "DeliverDirectly", "Transport"]

#: Seconds without a first message after which a server counts as foreign, which means not rtlab's:
#: an rtlab server sends its ``welcome`` as soon as the connection is open. An event stream or an unreliable
#: data channel whose answer is marked (`PROTOCOL_FIELD`) is rtlab's even so: a proxy holds the ``welcome``
#: back, or a packet was lost.
FOREIGN_AFTER: Final = 1.0

#: Handles a message, or returns False to have `receive` return it.
DeliverDirectly = Callable[[Message], bool]


class Transport(Protocol):
    """Exchanges messages over one network connection; opened once, never reused.

    Attributes
    ----------
    name : str
        ``"websocket"``, ``"sse"``, ``"longpoll"`` or ``"webrtc"``.
    confirms : bool
        Whether receiving a message confirms it to the server, which then does not send it
        again after a reconnect, even if it was not handled.
    cursor : str or None
        The opaque resume token of the message that `receive` last returned; None if the
        transport has no such tokens.
    bytes_in, bytes_out : int
        Bytes of encoded messages received and sent so far, without framing.
    heard : float
        When anything last arrived, in `time.monotonic` seconds; pings and comments count,
        not only messages.
    buffered_bytes : int
        Bytes of messages that `send` accepted and that are not on the network yet (in a send buffer
        of this process or in the data channel), or that the server has not accepted yet (a POST).
    server_origin : Origin or None
        The origin of the server that answered, which redirects may have changed; None before `open`.
    max_message_bytes : int
        The largest message to send, in bytes; lowered to the server's limit once that is known.

    Notes
    -----
    A transport that can write without waiting may also have ``send_at_once``, as `WebSocketTransport`
    does. A transport that uses another codec than JSON has it as its attribute ``codec``.
    """

    name: str

    @property
    def confirms(self) -> bool: ...

    @property
    def cursor(self) -> str | None: ...

    @property
    def bytes_in(self) -> int: ...

    @property
    def bytes_out(self) -> int: ...

    @property
    def heard(self) -> float: ...

    @property
    def buffered_bytes(self) -> int: ...

    @property
    def server_origin(self) -> Origin | None: ...

    @property
    def max_message_bytes(self) -> int: ...

    @max_message_bytes.setter
    def max_message_bytes(self, limit: int, /) -> None: ...

    async def open(self, resume: Resume) -> Message | None:
        """Connect; return the server's ``welcome``, which `session_of` recognizes; None if it is foreign.

        A server is foreign if its first message is no ``welcome``, or if it sends nothing for
        `FOREIGN_AFTER`. A first message that is no ``welcome`` is not lost: `receive` returns it.
        The connection also accepts a ``welcome`` as the first message that `receive` returns,
        from an rtlab server behind a slow path.

        Raises `ConnectFailed`, and nothing else. Cleans up after itself when cancelled.
        """
        ...

    async def receive(self, take: DeliverDirectly | None = None) -> Message:
        """Return the next message.

        If the underlying library delivers messages by callback, messages that arrive while this
        waits are offered to `take` inside that callback, one turn of the event loop earlier. `take`
        must not raise. A message for which it returns False is returned as usual.

        Raises `TransportClosed` when the transport has ended, and `MessageError` for a frame that
        cannot be decoded; later frames can still be received.
        """
        ...

    async def send(self, message: Message) -> None:
        """Write one message; raises `TransportClosed` or `MessageTooLarge`."""
        ...

    async def ping(self) -> float:
        """Return a round trip in seconds."""
        ...

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """Close in an orderly way, within a bounded time."""
        ...

    def abort(self) -> None:
        """End at once. May be called at any time, and twice."""
        ...
