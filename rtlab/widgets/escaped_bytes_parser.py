r"""Parses bytes typed with escapes, such as ``data: a\r\n|\xff``; a bar is where the network splits them."""

from __future__ import annotations

import re
from typing import Final

__all__ = ["parse_portions"]

_ESCAPES: Final = {"n": "\n", "r": "\r", "t": "\t", "\\": "\\", "|": "|"}
_TOKEN: Final = re.compile(
    r"\\x(?P<byte>[0-9a-fA-F]{2})|\\u(?P<char>[0-9a-fA-F]{4})|\\(?P<escape>[nrt0\\|])"
    r"|(?P<bad>\\(?:x[^\\|]{0,2}|u[^\\|]{0,4}|.?))|(?P<cut>\|)|(?P<text>[^\\|]+)",
    re.DOTALL,
)


def parse_portions(typed: str) -> list[bytes]:
    r"""Return the portions in which the bytes arrive.

    Parameters
    ----------
    typed : str
        Text, in UTF-8; a line's end is an LF. ``\n``, ``\r``, ``\t``, ``\0`` and ``\x``
        with two hexadecimal digits are bytes, ``\u`` with four is a character, ``|`` is a cut, and
        ``\\`` and ``\|`` are those two characters.

    Returns
    -------
    list of bytes
        The portions; none is empty.

    Raises
    ------
    ValueError
        If the text cannot be parsed; the message is a sentence for the person who typed it.

    Examples
    --------
    >>> parse_portions(r"data: a\r|\n\xff")
    [b'data: a\r', b'\n\xff']
    """
    portions = [bytearray()]
    for token in _TOKEN.finditer(typed):
        match token.lastgroup:
            case "cut":
                portions.append(bytearray())
            case "byte":
                portions[-1].append(int(token["byte"], 16))
            case "bad":
                raise ValueError(_unknown(token["bad"], token.start()))
            case "char":
                portions[-1] += _encoded(chr(int(token["char"], 16)), token.start())
            case "escape":
                portions[-1] += _ESCAPES.get(token["escape"], "\0").encode()
            case _:
                portions[-1] += _encoded(token["text"], token.start())
    return [bytes(portion) for portion in portions if portion]


def _encoded(text: str, at: int) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError:  # half a surrogate pair
        raise ValueError(
            f"character {at + 1}: UTF-8 has no bytes for half a pair; type \\x… for bytes"
        ) from None


def _unknown(escape: str, at: int) -> str:
    known = r"\n \r \t \0 \xNN \uNNNN \\ \|"
    where = f"character {at + 1}"
    if escape == "\\":
        return f"{where}: a backslash at the end says nothing; for the character itself type \\\\"
    if escape[1] in "xu":
        digits = 2 if escape[1] == "x" else 4
        return f"{where}: expected {digits} hexadecimal digits after {escape[:2]}, got {escape[2:]!r}"
    return f"{where}: {escape} is no escape here; there are {known}"
