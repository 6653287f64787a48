"""What a browser would run of a text that a page shows as HTML."""

from __future__ import annotations

from html.parser import HTMLParser
from typing import Final

__all__ = ["SAMPLE_TEXTS", "active_markup"]

#: Lines of a chat whose markup calls ``hit``. Written by ``innerHTML``, all but the first run: HTML
#: §8.5.4 parses a ``script`` element there as one that has been started already.
SAMPLE_TEXTS: Final = (
    "<script>hit(0)</script>",
    '<img src="x" onerror="hit(1)">',
    '<svg onload="hit(2)"></svg>',
    '<details open ontoggle="hit(3)"><summary>more</summary></details>',
    '<style onload="hit(4)"></style>',
)


def active_markup(markup: str) -> list[str]:
    """Return what runs when a page writes a text by ``innerHTML``.

    Parameters
    ----------
    markup : str
        What is written.

    Returns
    -------
    list of str
        Each event-handler attribute, as ``element.attribute``. A ``script`` element is not among them:
        one that ``innerHTML`` makes never runs. Nor is a ``javascript:`` link, which waits for a click.

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
