"""A small table of words and numbers: left-aligned, readable as text; nbval ignores its marked numbers."""

from __future__ import annotations

import html
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from rtlab.widgets.verdicts.verdict_row import html_numbers

__all__ = ["PlainTable"]

#: The style of the verdict table, because both are shown in one notebook.
_CSS: Final = (Path(__file__).parents[1] / "js" / "verdicts.css").read_text("utf-8")


class PlainTable:
    """A table that shows itself in a notebook.

    Parameters
    ----------
    heads : sequence of str
        Heads of the columns.
    rows : sequence of sequence of str
        Cells; the first of each row is its name. A number that differs from run to
        run is enclosed in the marks of `rtlab.widgets.verdicts.verdict_row.marked`.
    caption : str
        How the numbers were made; empty: no caption.

    Examples
    --------
    >>> from rtlab.widgets.verdicts.verdict_row import marked
    >>> PlainTable(["", "SSE"], [["transit, ms", marked("0.17")]], "direct")
    direct
     | SSE
    transit, ms | ‹0.17›
    """

    def __init__(self, heads: Sequence[str], rows: Sequence[Sequence[str]], caption: str = "") -> None:
        self.heads = list(heads)
        self.rows = [list(row) for row in rows]
        self.caption = caption
        for row in self.rows:
            if len(row) != len(self.heads):
                raise ValueError(f"expected {len(self.heads)} cells in a row, got {row}")

    def __repr__(self) -> str:
        # Not padded: the width of a number would move the words that the tests compare.
        lines = [" | ".join(row) for row in (self.heads, *self.rows)]
        return "\n".join([self.caption, *lines] if self.caption else lines)

    @property
    def html(self) -> str:
        """The table, with its style."""
        heads = "".join(f'<th scope="col">{html.escape(head, quote=False)}</th>' for head in self.heads)
        rows = "".join(
            f'<tr><th scope="row">{html_numbers(row[0])}</th>'
            + "".join(f"<td>{html_numbers(cell)}</td>" for cell in row[1:])
            + "</tr>"
            for row in self.rows
        )
        caption = f"<caption>{html_numbers(self.caption)}</caption>" if self.caption else ""
        return (
            f'<style>{_CSS}</style><table class="rtlab-verdicts">{caption}'
            f"<thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table>"
        )

    def _repr_html_(self) -> str:
        return self.html
