"""Bytes taken apart, a comment beside each part: the table that every annotation returns."""

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
        What the standard calls it.
    value : str
        What it says here.
    comment : str
        What it is for.
    """

    raw: str
    name: str
    value: str
    comment: str


class Annotated:
    """Bytes taken apart, shown as a table.

    Parameters
    ----------
    title : str
        What they are.
    parts : list of Part
        In their order on the wire.
    """

    def __init__(self, title: str, parts: list[Part]) -> None:
        self.title = title
        self.parts = parts

    def __repr__(self) -> str:
        columns = [max(len(part[i]) for part in self.parts) for i in range(3)]
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
    """Return a text of at most 120 characters, the last one an ellipsis where some are left out."""
    return text if len(text) <= _MAX_SHOWN else f"{text[: _MAX_SHOWN - 1]}…"
