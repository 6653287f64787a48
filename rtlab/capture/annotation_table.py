"""The table that every annotation returns: bytes split into parts, with a comment beside each."""

from __future__ import annotations

import html
from typing import Final, NamedTuple

__all__ = ["Annotated", "Part", "shortened"]

_MAX_SHOWN: Final = 120


class Part(NamedTuple):
    """One part of the bytes.

    Parameters
    ----------
    raw : str
        The bytes, as text, bits or hexadecimal.
    name : str
        The standard's name of this part.
    value : str
        Its value in these bytes, in readable form.
    comment : str
        What the part is for.
    """

    raw: str
    name: str
    value: str
    comment: str


class Annotated:
    """Bytes split into parts, shown as a table.

    Parameters
    ----------
    title : str
        What the bytes are.
    parts : list of Part
        The parts, in their order on the wire.
    """

    def __init__(self, title: str, parts: list[Part]) -> None:
        self.title = title
        self.parts = parts

    def __repr__(self) -> str:
        columns = [max((len(part[i]) for part in self.parts), default=0) for i in range(3)]
        lines = [
            "  ".join([*(text.ljust(width) for text, width in zip(part, columns, strict=False)), part[3]])
            for part in self.parts
        ]
        return "\n".join([self.title, *(line.rstrip() for line in lines)])

    def _repr_html_(self) -> str:
        left = 'style="text-align:left"'
        cells = (
            f"<td {left}><code>{html.escape(part.raw)}</code></td>"
            f"<td {left}>{html.escape(part.name)}</td>"
            f"<td {left}><b>{html.escape(part.value)}</b></td>"
            f"<td {left}>{html.escape(part.comment)}</td>"
            for part in self.parts
        )
        rows = "".join(f"<tr>{row}</tr>" for row in cells)
        head = "".join(f"<th {left}>{name}</th>" for name in ("bytes", "part", "value", "what it is for"))
        return f"<table><caption>{html.escape(self.title)}</caption><tr>{head}</tr>{rows}</table>"


def shortened(text: str) -> str:
    """Return a text cut to at most 120 characters; the last of a cut text is an ellipsis."""
    return text if len(text) <= _MAX_SHOWN else f"{text[: _MAX_SHOWN - 1]}…"
