"""Every colour in rtlab: one for each transport, series and kind of event.

The eight hues are Okabe and Ito's colour-blind-safe palette (*Color Universal
Design*, 2008). Live plots, static figures and tables use the same names.
"""

from __future__ import annotations

from typing import Final

__all__ = [
    "EVENT_COLORS",
    "OVERFLOW_COLORS",
    "PALETTE",
    "POLICY_COLORS",
    "SERIES_CYCLE",
    "TRANSPORT_COLORS",
    "color_of",
    "transport_of",
]

PALETTE: Final[dict[str, str]] = {
    "blue": "#0072B2",
    "orange": "#E69F00",
    "green": "#009E73",
    "purple": "#CC79A7",
    "sky": "#56B4E9",
    "vermilion": "#D55E00",
    "yellow": "#F0E442",
    "grey": "#7F7F7F",
}

TRANSPORT_COLORS: Final[dict[str, str]] = {
    "websocket": PALETTE["blue"],
    "sse": PALETTE["orange"],
    "longpoll": PALETTE["green"],
    "webrtc": PALETTE["purple"],
}

#: Reconnect policies, by family. A real client's policy has the colour of the family that the client names.
POLICY_COLORS: Final[dict[str, str]] = {
    "full jitter": PALETTE["blue"],
    "centrifuge": PALETTE["blue"],
    "exponential": PALETTE["orange"],
    "websockets": PALETTE["orange"],
    "equal jitter": PALETTE["green"],
    "decorrelated": PALETTE["purple"],
    "socketio": PALETTE["sky"],
    "python-socketio": PALETTE["sky"],
    "linear": PALETTE["vermilion"],
    "no backoff": PALETTE["grey"],
}

#: Overflow policies for the messages of slow consumers. The lines of `block` and `disconnect`, which lose
#: nothing, lie close together in a plot, so their hues differ clearly.
OVERFLOW_COLORS: Final[dict[str, str]] = {
    "block": PALETTE["blue"],
    "drop_oldest": PALETTE["orange"],
    "drop_newest": PALETTE["green"],
    "conflate": PALETTE["purple"],
    "disconnect": PALETTE["vermilion"],
}

_BY_POLICY: Final = {**POLICY_COLORS, **OVERFLOW_COLORS}

SERIES_CYCLE: Final[tuple[str, ...]] = tuple(
    PALETTE[name] for name in ("blue", "orange", "green", "purple", "sky", "vermilion", "grey")
)

EVENT_COLORS: Final[dict[str, str]] = {
    "connected": PALETTE["green"],
    "disconnected": PALETTE["vermilion"],
    "reconnecting": PALETTE["orange"],
    "resync": PALETTE["purple"],
    "moved": PALETTE["blue"],
    "error": PALETTE["vermilion"],
    "fault": PALETTE["grey"],
}


def color_of(series: str, index: int = 0) -> str:
    """Return the colour of a series.

    Parameters
    ----------
    series : str
        A series' name. One that starts with a transport's name
        (``"websocket"``, ``"sse via nginx"``) gets that transport's colour, one that
        starts with a policy's name (``"full jitter, 1 to 5 s"``) that policy's.
    index : int
        Number of the series, which chooses the colour of one without such a name.

    Returns
    -------
    str
        ``"#rrggbb"``.

    Examples
    --------
    >>> color_of("websocket, batched")
    '#0072B2'
    """
    if transport := transport_of(series):
        return TRANSPORT_COLORS[transport]
    policy = series.lower().partition(",")[0]
    return _BY_POLICY.get(policy, SERIES_CYCLE[index % len(SERIES_CYCLE)])


def transport_of(series: str) -> str:
    """Return the transport whose name a series' name starts with, or an empty string.

    Parameters
    ----------
    series : str
        A series' name.

    Returns
    -------
    str
        A key of `TRANSPORT_COLORS`, or ``""``.

    Examples
    --------
    >>> transport_of("SSE via nginx"), transport_of("echo")
    ('sse', '')
    """
    first = series.lower().replace(",", " ").split(" ", 1)[0]
    return first if first in TRANSPORT_COLORS else ""
