"""The receipt of one message: its result, or why there is none."""

from __future__ import annotations

import asyncio
from typing import Any, Final

import msgspec

from rtlab.client.named_timeouts import within
from rtlab.errors import InvalidState, MessageError, RequestRefused
from rtlab.protocol.messages import Message

__all__ = ["UNACKNOWLEDGED", "Receipt"]


# A struct, made in C: one is made for each message, and a class's own `__init__` takes five times as long.
class Receipt(msgspec.Struct, eq=False):
    """What became of one message that the server answers for.

    Parameters
    ----------
    message : Message
        What was sent.

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
    # Made when somebody waits: most receipts are never asked, and a future costs more than one.
    _future: asyncio.Future[None] | None = None

    def __repr__(self) -> str:
        return f"<Receipt {self.outcome}>"

    @property
    def outcome(self) -> str:
        """``"waiting"``, ``"handled"``, ``"refused"``, or ``"unknown"``: it may have arrived."""
        if self._error is not None:
            return "refused" if isinstance(self._error, RequestRefused | MessageError) else "unknown"
        return "waiting" if self._result is None else "handled"

    def settle(self, result: dict[str, Any], error: Exception | None) -> None:
        """Give the result, or what came in its place: for who sends."""
        if self._result is not None:
            return
        self._result, self._error = result, error
        if self._future is not None:
            self._future.set_result(None)

    @staticmethod
    def settle_handled(receipts: list[Receipt], results: list[Any]) -> list[tuple[Receipt, Any]]:
        """Settle those of a batch whose results say *handled*; return the others with theirs."""
        others: list[tuple[Receipt, Any]] = []
        for receipt, result in zip(receipts, results, strict=True):
            if result.__class__ is not dict or result.get("ok") is not True:
                others.append((receipt, result))
            elif receipt._result is None and receipt._future is None:  # nobody waits: without a call
                receipt._result = result
            else:
                receipt.settle(result, None)
        return others

    async def acked(self, timeout: float | None = None) -> dict[str, Any]:
        """Wait for the server's result.

        Parameters
        ----------
        timeout : float, optional
            Seconds; the message itself is not called back.

        Returns
        -------
        dict
            The server's words: ``ok``, and for a published message ``epoch`` and ``offset``.

        Raises
        ------
        RequestRefused
            The server refused this message; others of the batch may have been handled.
        NotConnected, TimeoutError
            No answer came: it is unknown whether the message was handled.
        """
        async with within(timeout, lambda: f"no answer; the message is {self.outcome}, await acked() again"):
            if self._result is None:
                if self._future is None:
                    self._future = asyncio.get_running_loop().create_future()
                await asyncio.shield(self._future)  # others may wait for it, too
        if self._error is not None:
            raise self._error
        assert self._result is not None
        return self._result


class _Unacknowledged(Receipt):
    """Of messages that were sent at most once: nobody answers for them, and one serves all."""

    @property
    def outcome(self) -> str:
        """``"unknown"``, always."""
        return "unknown"

    def settle(self, result: dict[str, Any], error: Exception | None) -> None:
        """Nobody does."""

    async def acked(self, timeout: float | None = None) -> dict[str, Any]:
        """Raise: there is nothing to wait for."""
        raise InvalidState(
            'a receipt of delivery="at_least_once" or "effectively_once"',
            'one of "at_most_once"',
            "the server answers for a message only if it is asked to",
        )


#: What `Connection.send` returns when nobody will answer.
UNACKNOWLEDGED: Final[Receipt] = _Unacknowledged(Message(""))
