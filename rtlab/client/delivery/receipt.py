"""The receipt of one message that asks for an acknowledgement: the result, or why there is none."""

from __future__ import annotations

import asyncio
from typing import Any, Final

import msgspec

from rtlab.client.timeout_error_messages import within
from rtlab.errors import InvalidState, MessageError, QueueError, RequestRefused
from rtlab.protocol.message_format import Message

__all__ = ["UNACKNOWLEDGED", "Receipt"]


# A msgspec struct: one is made for each message, and an `__init__` in Python takes five times as long.
class Receipt(msgspec.Struct, eq=False):
    """The outcome of one message that the server acknowledges.

    Parameters
    ----------
    message : Message
        The message that was sent.

    Examples
    --------
    >>> async def talk() -> None:
    ...     receipt = Receipt(Message("chat", "hi"))
    ...     receipt.settle({"ok": True}, None)
    ...     print(receipt.outcome, await receipt.acked(timeout=1))
    >>> asyncio.run(talk())
    handled {'ok': True}
    """

    message: Message
    _result: dict[str, Any] | None = None
    _error: Exception | None = None
    # Made only when a caller waits: most receipts are never awaited, and a future costs more.
    _future: asyncio.Future[None] | None = None

    def __repr__(self) -> str:
        return f"<Receipt {self.outcome}>"

    @property
    def outcome(self) -> str:
        """``"waiting"``, ``"handled"``, ``"refused"``, or ``"unknown"``: the message may have arrived.

        A message is also ``"refused"`` if a `MessageQueue` dropped it, or gave it up, before it was sent.
        """
        if self._error is not None:
            refused = isinstance(self._error, RequestRefused | MessageError | QueueError)
            return "refused" if refused else "unknown"
        return "waiting" if self._result is None else "handled"

    def settle(self, result: dict[str, Any], error: Exception | None) -> None:
        """Store the result, or the error in its place; only the sending code calls this."""
        if self._result is not None:
            return
        self._result, self._error = result, error
        if self._future is not None and not self._future.get_loop().is_closed():
            self._future.set_result(None)

    @staticmethod
    def settle_handled(receipts: list[Receipt], results: list[Any]) -> list[tuple[Receipt, Any]]:
        """Settle the receipts of a batch whose results are ok; return the others with their results."""
        others: list[tuple[Receipt, Any]] = []
        for receipt, result in zip(receipts, results, strict=True):
            if result.__class__ is not dict or result.get("ok") is not True:
                others.append((receipt, result))
            elif receipt._result is None and receipt._future is None:  # nobody waits: save a call
                receipt._result = result
            else:
                receipt.settle(result, None)
        return others

    async def acked(self, timeout: float | None = None) -> dict[str, Any]:
        """Wait for the server's result.

        Parameters
        ----------
        timeout : float, optional
            Seconds to wait, None for ever. After a timeout, the message is still being delivered. None
            may never return, for instance if an event stream stays silent that is not of an rtlab server.

        Returns
        -------
        dict
            The server's result: ``ok``, and for a published message ``epoch`` and ``offset``.

        Raises
        ------
        RequestRefused
            The server refused this message; other messages of the batch may have been handled.
        QueueError
            A `MessageQueue` dropped the message (`QueueFull`), or gave it up, before it was sent.
        NotConnected, TimeoutError
            No answer came: it is unknown whether the message was handled.
        Exception
            Any other, from a transport for instance, that sending the message raised again and again.
        """
        async with within(timeout, lambda: f"no answer; the message is {self.outcome}, await acked() again"):
            if self._result is None:
                loop = asyncio.get_running_loop()
                if self._future is None or self._future.get_loop() is not loop:
                    self._future = loop.create_future()  # who waited on a former event loop has gone with it
                await asyncio.shield(self._future)  # other callers may wait for it, too
        if self._error is not None:
            raise self._error
        assert self._result is not None
        return self._result


class _Unacknowledged(Receipt):
    """The one shared receipt of all at-most-once messages, which the server does not acknowledge."""

    @property
    def outcome(self) -> str:
        """``"unknown"``, always."""
        return "unknown"

    def settle(self, result: dict[str, Any], error: Exception | None) -> None:
        """Do nothing: there is no result to store."""

    async def acked(self, timeout: float | None = None) -> dict[str, Any]:
        """Raise: there is nothing to wait for."""
        raise InvalidState(
            'a receipt of delivery="at_least_once" or "effectively_once"',
            'one of "at_most_once"',
            "the server answers for a message only if it is asked to",
        )


#: What `Connection.send` returns for an at-most-once message.
UNACKNOWLEDGED: Final[Receipt] = _Unacknowledged(Message(""))
