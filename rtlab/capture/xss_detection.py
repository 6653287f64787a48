"""Finds the code that a browser runs when a page inserts a text as HTML."""

from __future__ import annotations

from html.parser import HTMLParser
from typing import Final

__all__ = ["SAMPLE_TEXTS", "active_markup"]

#: Chat messages whose markup calls ``hit``. Assigned to ``innerHTML``, all but the first run: there HTML
#: §8.5.4 marks a ``script`` element as already started, so it never executes.
SAMPLE_TEXTS: Final = (
    "<script>hit(0)</script>",
    '<img src="x" onerror="hit(1)">',
    '<svg onload="hit(2)"></svg>',
    '<details open ontoggle="hit(3)"><summary>more</summary></details>',
    '<style onload="hit(4)"></style>',
)


def active_markup(markup: str) -> list[str]:
    """Return the handlers that run when a page assigns a text to ``innerHTML``.

    Parameters
    ----------
    markup : str
        The text that the page assigns.

    Returns
    -------
    list of str
        Each event-handler attribute, as ``element.attribute``. A ``script`` element is not listed,
        because one that ``innerHTML`` creates never runs; nor is a ``javascript:`` link, which runs
        only when clicked.

    Examples
    --------
    >>> active_markup('<img src="x" onerror="hit(1)">')
    ['img.onerror']
    >>> active_markup("&lt;img src=x onerror=hit(1)&gt;")
    []
    """
    finder = _Finder()
    finder.feed(markup)
    finder.close()
    return finder.found


class _Finder(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found += [f"{tag}.{name}" for name, _ in attrs if name.startswith("on")]
