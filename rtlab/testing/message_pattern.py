"""Decides whether a message matches the pattern of a test."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import msgspec

__all__ = ["Pattern", "as_frame", "matches", "words"]

#: What a message must look like: a dict (its fields must be present, others may be), text, bytes, a predicate
#: on the decoded message, or ``...`` for anything. In a dict, a value may also be a predicate or ``...``.
Pattern = Any


def as_frame(message: Any) -> str | bytes:
    """Return the frame data that carries a message: text and bytes as they are, anything else as JSON.

    Examples
    --------
    >>> as_frame({"type": "chat"})
    '{"type":"chat"}'
    """
    if isinstance(message, (str, bytes)):
        return message
    return msgspec.json.encode(message).decode()


def matches(pattern: Pattern, data: str | bytes) -> bool:
    """Return whether a frame matches a pattern.

    Parameters
    ----------
    pattern : dict, str, bytes, callable or ...
        See `Pattern`.
    data : str or bytes
        The received message.

    Examples
    --------
    >>> matches({"type": "chat", "payload": ...}, '{"type": "chat", "payload": 1, "id": "7"}')
    True
    >>> matches({"type": "chat", "id": ...}, '{"type": "chat"}')
    False
    """
    if pattern is ...:
        return True
    if isinstance(pattern, (str, bytes)):
        return pattern == data
    try:
        value = msgspec.json.decode(data)
    except Exception:  # bytes of any kind: msgspec raises UnicodeDecodeError and RecursionError, too
        value = data
    return _fits(pattern, value)


def words(pattern: Pattern) -> str:
    """Return a pattern in words, for an error message."""
    if isinstance(pattern, str):
        return pattern
    if callable(pattern):
        return f"a message for which {getattr(pattern, '__name__', 'the function')} is true"
    return "anything" if pattern is ... else repr(pattern).replace("Ellipsis", "...")


def _fits(pattern: Any, value: Any) -> bool:
    if pattern is ...:
        return True
    if isinstance(pattern, dict):
        wanted = cast("dict[str, Any]", pattern)
        if not isinstance(value, dict):
            return False
        given = cast("dict[str, Any]", value)
        return all(key in given and _fits(part, given[key]) for key, part in wanted.items())
    if callable(pattern):
        return bool(cast("Callable[[Any], Any]", pattern)(value))
    return type(pattern) is type(value) and pattern == value
