"""Recorded heads of a real browser's requests, with the headers that rtlab's own client does not send."""

from __future__ import annotations

import json
from typing import Final

from rtlab.resources import data_path

__all__ = ["RECORDED", "browser_heads"]

#: The recorded run in ``data/``.
RECORDED: Final = "browser_heads.json"


def browser_heads() -> dict[str, str]:
    """Return the request heads that Chromium sent from a page of the same origin, without cookies.

    Returns
    -------
    dict of str to str
        ``"/send"`` (``fetch`` with a body), ``"/poll"`` (``fetch``), ``"/sse"``
        (``EventSource``) and ``"/ws"`` (``WebSocket``) → the head, with the empty line
        that ends it.

    Examples
    --------
    >>> browser_heads()["/ws"].splitlines()[0]
    'GET /ws HTTP/1.1'
    """
    return json.loads(data_path(RECORDED).read_text(encoding="utf-8"))["heads"]
