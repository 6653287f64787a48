"""Detects objects with duplicate keys, for which parsers disagree on the value (RFC 8259 §4).

One parser may then check a different value than another parser uses: a gateway that checks the first
value admits a message whose last value the server obeys. Every decoder of rtlab takes the last value.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, Final

from rtlab.errors import MessageError
from rtlab.protocol.limits import MAX_DEPTH

__all__ = ["check_json_keys", "check_msgpack_keys"]

_CODE: Final = "duplicate_key"


def _duplicate(key: object) -> MessageError:
    return MessageError(f"the key {key!r:.80} stands twice in one object: which value counts?", _CODE)


def _unique(pairs: list[tuple[str, Any]]) -> None:
    seen: set[str] = set()
    for key, _ in pairs:
        if key in seen:
            raise _duplicate(key)
        seen.add(key)


def check_json_keys(data: bytes | str) -> None:
    """Raise `MessageError` if an object in a JSON text has a duplicate key; ignore other faults.

    Examples
    --------
    >>> check_json_keys('{"a": 1, "b": {"a": 2}}')
    >>> check_json_keys('{"a": 1, "\\\\u0061": 2}')
    Traceback (most recent call last):
    rtlab.errors.MessageError: the key 'a' stands twice in one object: which value counts?
    """
    try:
        json.loads(data, object_pairs_hook=_unique)
    except MessageError:
        raise
    except (ValueError, RecursionError):
        return  # the decoder says what is wrong


#: By first byte (MessagePack specification, "Formats"), in bytes: the size of the length field (`_SIZED`),
#: the size of the data (`_FIXED`); the size of the count field, and the values per item (`_COUNTED`).
_SIZED: Final = {0xC4: 1, 0xC5: 2, 0xC6: 4, 0xC7: 1, 0xC8: 2, 0xC9: 4, 0xD9: 1, 0xDA: 2, 0xDB: 4}
_FIXED: Final = {
    0xCA: 4, 0xCB: 8, 0xCC: 1, 0xCD: 2, 0xCE: 4, 0xCF: 8, 0xD0: 1, 0xD1: 2, 0xD2: 4, 0xD3: 8,
    0xD4: 2, 0xD5: 3, 0xD6: 5, 0xD7: 9, 0xD8: 17,
}  # fmt: skip
_COUNTED: Final = {0xDC: (2, 1), 0xDD: (4, 1), 0xDE: (2, 2), 0xDF: (4, 2)}


def check_msgpack_keys(data: bytes) -> None:
    """Raise `MessageError` if a map in MessagePack data has a duplicate key; ignore other faults.

    Examples
    --------
    >>> check_msgpack_keys(bytes.fromhex("82a16101a16102"))
    Traceback (most recent call last):
    rtlab.errors.MessageError: the key b'a' stands twice in one object: which value counts?
    """
    try:
        _skip(data, 0, MAX_DEPTH + 4)
    except (IndexError, RecursionError):
        return  # the decoder says what is wrong


def _skip(data: bytes, at: int, depth: int) -> int:
    """Return the offset behind the value that begins at offset `at`."""
    if depth < 0:
        raise RecursionError
    first = data[at]
    at += 1
    if first <= 0x7F or first >= 0xE0 or 0xC0 <= first <= 0xC3:
        return at
    if first <= 0x8F:
        return _skip_items(data, at, 2, first & 0x0F, depth)
    if first <= 0x9F:
        return _skip_items(data, at, 1, first & 0x0F, depth)
    if first <= 0xBF:
        return at + (first & 0x1F)
    if first in _FIXED:
        return at + _FIXED[first]
    if first in _COUNTED:
        width, each = _COUNTED[first]
        return _skip_items(data, at + width, each, int.from_bytes(data[at : at + width], "big"), depth)
    width = _SIZED[first]
    extra = 1 if 0xC7 <= first <= 0xC9 else 0
    return at + width + extra + int.from_bytes(data[at : at + width], "big")


def _skip_items(data: bytes, at: int, each: int, count: int, depth: int) -> int:
    skip: Callable[[bytes, int, int], int] = _skip
    seen: set[bytes] = set()
    for _ in range(count):
        end = skip(data, at, depth - 1)
        if each == 2:
            key = _text(data[at:end])
            if key in seen:
                raise _duplicate(key)
            seen.add(key)
            end = skip(data, end, depth - 1)
        at = end
        if at > len(data):
            raise IndexError
    return at


def _text(key: bytes) -> bytes:
    """Return the bytes of a string key, in whichever of the four formats; any other key unchanged."""
    first = key[0]
    if 0xA0 <= first <= 0xBF:
        return key[1:]
    return key[1 + _SIZED[first] :] if 0xD9 <= first <= 0xDB else key
