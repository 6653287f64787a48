"""What a connection needs of a transport: the whole interface that the four share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Protocol

from rtlab.protocol.messages import Message
from rtlab.protocol.session_resume import Resume

__all__ = ["FOREIGN_AFTER", "Take", "Transport"]

#: Seconds without a first message after which a server counts as foreign: ours sends its
#: ``welcome`` as soon as the connection is open.
FOREIGN_AFTER: Final = 1.0

#: Handles a message, and returns whether it did.
Take = Callable[[Message], bool]


class Transport(Protocol):
    """One attempt to exchange messages. Never reused.

    Attributes
    ----------
    name : str
        ``"websocket"``, ``"sse"``, ``"longpoll"`` or ``"webrtc"``.
    confirms : bool
        Whether what `receive` returned is confirmed thereby: the server need not
        send it again, whether it was handled or not.
    cursor : str or None
        The opaque token that came with the message that `receive` last
        returned; None where the transport has none.
    bytes_in, bytes_out : int
        Encoded messages so far, without framing.
    heard : float
        When anything last arrived, `time.monotonic` seconds: also what is no
        message, such as a ping frame or a comment.
    buffered_bytes : int
        What was sent and has not left: it waits in the socket's buffer of this process, in
        the data channel, or for the server's answer to a POST.
    max_message_bytes : int
        The largest message to send; lowered to the server's limit once known.

    Notes
    -----
    One that can write without waiting may have ``send_at_once`` too, as `WebSocketTransport` does;
    one that speaks another codec than JSON has it as ``codec``.
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
    def max_message_bytes(self) -> int: ...

    @max_message_bytes.setter
    def max_message_bytes(self, limit: int, /) -> None: ...

    async def open(self, resume: Resume) -> Message | None:
        """Connect; return the server's ``welcome`` (`session_of` tells), None from a foreign server.

        A foreign server is one whose first message is no ``welcome``, or that sends
        nothing for `FOREIGN_AFTER`. What it sent by then is lost to nobody: `receive`
        returns it first. The connection also accepts a ``welcome`` that `receive`
        returns as its first message, from a server of ours behind a slow path.

        Raises `ConnectFailed`, and nothing else. Cleans up after itself when cancelled.
        """
        ...

    async def receive(self, take: Take | None = None) -> Message:
        """Return the next message.

        Where the library below calls back, messages that arrive while this waits are
        offered to `take` in that call: a turn of the event loop earlier. It must not
        raise; a message that it does not take is returned as usual.

        Raises `TransportClosed` at the end, and `MessageError` for one frame
        that cannot be read (the stream goes on).
        """
        ...

    async def send(self, message: Message) -> None:
        """Write one message; raises `TransportClosed` or `MessageTooLarge`."""
        ...

    async def ping(self) -> float:
        """Return a round trip in seconds."""
        ...

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """End in an orderly way, within a bounded time."""
        ...

    def abort(self) -> None:
        """End at once. May be called at any time, and twice."""
        ...
