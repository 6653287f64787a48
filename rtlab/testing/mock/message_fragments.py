"""The message that `websockets` sends for data of one type or another, whole or in fragments."""

from __future__ import annotations

from collections.abc import (
    AsyncGenerator,
    AsyncIterable,
    AsyncIterator,
    Awaitable,
    Callable,
    Iterable,
    Mapping,
)
from typing import Any, TypeAlias, cast

__all__ = ["Sendable", "as_message", "fragments", "joined"]

#: What makes a whole message.
Whole: TypeAlias = str | bytes | bytearray | memoryview
#: What `send` takes: a message, or the fragments of one.
Sendable: TypeAlias = Whole | Iterable[Whole] | AsyncIterable[Whole]


def as_message(data: Any, text: bool | None = None) -> str | bytes:
    """Return the message of unfragmented data.

    Parameters
    ----------
    data : str or bytes-like
        Text becomes a text message, bytes a binary one.
    text : bool, optional
        Whether it becomes a text message in any case (True), or a binary one (False).

    Raises
    ------
    UnicodeDecodeError
        If bytes shall become text and are no UTF-8.

    Examples
    --------
    >>> as_message(b"hi"), as_message(b"hi", text=True), as_message("hi", text=False)
    (b'hi', 'hi', b'hi')
    """
    if isinstance(data, str):
        return data.encode() if text is False else data
    data = bytes(data)
    return data.decode() if text else data


async def fragments(message: Any) -> AsyncGenerator[Any, None]:
    """Iterate over the fragments of a message, which an iterable or an asynchronous iterable holds.

    Raises
    ------
    TypeError
        If it holds none, or is a mapping, whose keys are hardly meant.
    """
    if isinstance(message, Mapping):
        raise TypeError("data is a dict-like object")
    if isinstance(message, Iterable):
        for piece in cast("Iterable[Any]", message):
            yield piece
    elif isinstance(message, AsyncIterable):
        async for piece in cast("AsyncIterable[Any]", message):
            yield piece
    else:
        raise TypeError("data must be str, bytes, iterable, or async iterable")


async def joined(
    first: Any, others: AsyncIterator[Any], text: bool | None, check: Callable[[], Awaitable[None]]
) -> str | bytes:
    """Return the message that consists of these fragments.

    Parameters
    ----------
    first : object
        The first fragment; all must be of its type.
    others : async iterator
        The others.
    text : bool, optional
        See `as_message`.
    check : callable
        Awaited before each fragment is taken; raises when the connection has no use for it any more.

    Raises
    ------
    TypeError
        If they are neither all text nor all bytes.
    """
    kind = str if isinstance(first, str) else (bytes, bytearray, memoryview)
    if not isinstance(first, kind):
        raise TypeError("iterable must contain bytes or str")
    await check()
    pieces: list[Any] = [as_message(first)]
    async for piece in others:
        if not isinstance(piece, kind):
            raise TypeError("iterable must contain uniform types")
        await check()
        pieces.append(as_message(piece))
    await check()
    return as_message("".join(pieces) if kind is str else b"".join(pieces), text)
