"""What a lab shows of itself: neither ports nor process ids, so that two runs show the same."""

from __future__ import annotations

import html
from collections.abc import Sequence

__all__ = ["as_html", "as_text"]


def as_text(nodes: int, *, faults: bool, state: str, dead: Sequence[str] = ()) -> str:
    """Describe a lab in a few words.

    Parameters
    ----------
    nodes : int
        How many servers.
    faults : bool
        Whether it has a fault proxy.
    state : str
        ``"running"``, or another word.
    dead : sequence of str
        The names of children that ended by themselves.

    Examples
    --------
    >>> as_text(1, faults=True, state="running")
    '1 server and fault proxy, running'
    """
    parts = [f"{nodes} server{'s' if nodes > 1 else ''}"]
    if faults:
        parts.append("fault proxy")
    if dead and state == "running":
        state = f"{', '.join(dead)} died"
    return f"{' and '.join(parts)}, {state}"


def as_html(text: str, *, running: bool) -> str:
    """Put a description into HTML, with the next step.

    Parameters
    ----------
    text : str
        From `as_text`.
    running : bool
        Whether the next step is to use it, or to start one.
    """
    usage = "<code>lab = await Lab.start()</code> makes a running one"
    if running:
        usage = (
            "<code>lab.url</code>, <code>lab.ws_url</code>; <code>await lab.stop()</code> ends it, and so "
            "does a restart of the kernel: then run this cell first"
        )
    return f"<b>rtlab</b>: {html.escape(text)}<br>{usage}"
