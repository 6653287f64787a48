"""Shows cross-site scripting: a stranger's texts in sandboxed frames, whose scripts reach nothing."""

from __future__ import annotations

import html
import json
from collections.abc import Mapping, Sequence
from typing import Final, Literal

__all__ = ["SandboxedChat", "chat_page"]

Writing = Literal["innerHTML", "without script", "textContent"]

#: JavaScript that writes a text into the element ``li``.
_WRITE: Final[Mapping[Writing, str]] = {
    "innerHTML": "li.innerHTML = text;",
    "without script": "li.innerHTML = text.replace(/<script.*?<\\/script>/g, '');",
    "textContent": "li.textContent = text;",
}
_PAGE: Final = """<!doctype html><meta charset="utf-8"><meta name="color-scheme" content="light dark">
<style>body {{ font: 13px system-ui, sans-serif; margin: 8px }} b {{ color: #d55e00 }}
img, svg {{ width: 1em; height: 1em }}</style>
<p><b id="ran">nothing ran</b></p><ul></ul>
<script>
const ran = new Set();
function hit(n) {{
  ran.add(n);
  document.querySelector('#ran').textContent = ran.size + ' of {count} ran as this page';
  parent.postMessage({{ ran: [...ran] }}, '*');
}}
for (const text of {texts}) {{
  const li = document.createElement('li');
  {write}
  document.querySelector('ul').append(li);
}}
</script>"""

_FRAME: Final = """<figure style="margin: 0; flex: 1; min-width: 220px"><figcaption>{writing}</figcaption>
<iframe sandbox="allow-scripts" title="the chat, written by {writing}" height="200" srcdoc="{page}"
style="width: 100%; border: 1px solid #8888; border-radius: 4px"></iframe></figure>"""


def chat_page(texts: Sequence[str], writing: Writing) -> str:
    """Return a page that writes texts in one of three ways, and shows how many of them called ``hit``.

    Parameters
    ----------
    texts : sequence of str
        Lines of a chat, each of which may call ``hit(n)``.
    writing : {"innerHTML", "without script", "textContent"}
        How they are written: as markup, as markup without ``script`` elements, or as text.

    Returns
    -------
    str
        An HTML document.

    Examples
    --------
    >>> "li.textContent = text;" in chat_page(["<b>hi</b>"], "textContent")
    True
    """
    listed = json.dumps(list(texts)).replace("<", "\\u003c")
    return _PAGE.format(count=len(texts), texts=listed, write=_WRITE[writing])


class SandboxedChat:
    """The same texts in two pages side by side, in the reader's own browser.

    The frames are sandboxed: scripts may run there, but have no origin, no storage, no cookies and no
    way to the page around them.

    Parameters
    ----------
    texts : sequence of str
        Lines of a chat.
    writings : sequence of str
        One page for each, see `chat_page`.

    Examples
    --------
    >>> SandboxedChat(["<b>hi</b>"], ["innerHTML", "textContent"])
    <SandboxedChat: 1 text by innerHTML, textContent>
    """

    def __init__(self, texts: Sequence[str], writings: Sequence[Writing]) -> None:
        self.texts = tuple(texts)
        self.writings = tuple(writings)

    def __repr__(self) -> str:
        many = "1 text" if len(self.texts) == 1 else f"{len(self.texts)} texts"
        return f"<SandboxedChat: {many} by {', '.join(self.writings)}>"

    def _repr_html_(self) -> str:
        frames = (
            _FRAME.format(writing=html.escape(way), page=html.escape(chat_page(self.texts, way)))
            for way in self.writings
        )
        return f'<div style="display: flex; gap: 12px; flex-wrap: wrap">{"".join(frames)}</div>'
