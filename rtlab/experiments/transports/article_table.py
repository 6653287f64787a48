"""The comparison table of transports that many articles show, with this machine's measurements added."""

# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from rtlab.widgets.verdicts.format_number_with_unit import quantity
from rtlab.widgets.verdicts.plain_table import PlainTable
from rtlab.widgets.verdicts.verdict_row import marked

if TYPE_CHECKING:
    import pandas as pd

    from rtlab.capture.wire_cost_tables import WireReport
    from rtlab.experiments.transports.comparison_result import Comparison
    from rtlab.experiments.transports.connect_round_trips import RoundTrips

__all__ = ["ARTICLE", "article_table", "filled_table"]

HEADS: Final = ("Technology", "Direction", "Latency", "Overhead", "Proxy support", "Use case")

#: The rows of the articles' table, by transport.
ARTICLE: Final[dict[str, tuple[str, ...]]] = {
    "websocket": ("WebSockets", "two-way", "very low", "low", "limited", "chats, games"),
    "sse": ("SSE", "one-way", "low", "medium", "good", "notifications, live updates"),
    "longpoll": ("Long polling", "one-way", "medium", "high", "excellent", "fallback"),
    "webrtc": ("WebRTC", "P2P", "very low", "low", "limited", "video and audio calls"),
}


def article_table() -> PlainTable:
    """Return the articles' table, which has words only."""
    return PlainTable(HEADS, list(ARTICLE.values()), "The article's table")


def filled_table(
    result: Comparison, trips: RoundTrips, proxies: pd.DataFrame, wire: WireReport | None = None
) -> PlainTable:
    """Return the same table with a measurement beside each word that can be measured.

    Parameters
    ----------
    result : Comparison
        Latencies and bytes.
    trips : RoundTrips
        Round trips that it takes to connect.
    proxies : pandas.DataFrame
        From `proxy_matrix` or `recorded_matrix`.
    wire : WireReport, optional
        Wire bytes from a separate run, for a `result` that was stopped before it counted them. None
        takes those of `result`.

    Returns
    -------
    PlainTable
        Latency is the median transit with the range of the medians of single turns; overhead is the
        wire bytes beyond the payload. The caption says whether the proxies' column is a recorded run.
    """
    rows = [
        [
            name,
            f"“{direction}”: a message up is {_way_up(transport)}",
            f"“{latency}”: {_latency(result, transport)}",
            f"“{overhead}”: {_overhead(result, wire or result.wire, transport)}",
            f"“{support}”: {_proxies(proxies, transport)}",
            marked(f"{trips.lines[transport].slope:.1f}") if transport in trips.lines else "–",
        ]
        for transport, (name, direction, latency, overhead, support, _) in ARTICLE.items()
        if transport in result.transports
    ]
    heads = (
        *HEADS[:3],
        "Overhead, bytes beyond the payload",
        "Proxies as they come",
        "Round trips to connect",
    )
    # A recorded run says so in `attrs`; a machine without the proxies shows that one.
    recorded = proxies.attrs.get("about")
    source = f"the run recorded on {recorded['date']}" if recorded else "measured here"
    caption = f"The article's words, and what was measured: {result.conditions}; proxies: {marked(source)}"
    return PlainTable(heads, rows, caption)


def _way_up(transport: str) -> str:
    return "a request of its own" if transport in ("sse", "longpoll") else "a frame on the same connection"


def _latency(result: Comparison, transport: str) -> str:
    """Return the median transit over all turns, and the range of the medians of single turns."""
    transits = result.samples(transport, "transit")
    counts = [turn.messages for turn in result.turns if turn.transport == transport]
    parts = np.split(transits, np.cumsum(counts)[:-1]) if counts else []
    medians = [float(np.nanmedian(part)) for part in parts if np.isfinite(part).any()]
    if not medians:
        return marked("nothing measured")
    middle = quantity(float(np.nanmedian(transits)), "ms")
    if len(medians) == 1:
        return marked(f"{middle} (1 turn)")
    return marked(f"{middle} ({min(medians):.2f} to {max(medians):.2f} over {len(medians)} turns)")


def _overhead(result: Comparison, wire: WireReport | None, transport: str) -> str:
    if wire is None:
        return marked("not counted")
    row = wire.per_message.loc[transport]
    down, up = row["push_warm"] - result.size, row["send_warm"] - result.size
    return f"{marked(f'{down:,.0f}')} down, {marked(f'{up:,.0f}')} up"


def _proxies(frame: pd.DataFrame, transport: str) -> str:
    """Return what proxies with default settings do to a transport whose server sends no hints for proxies."""
    if transport == "webrtc":
        return "only signalling goes through them"
    said: list[str] = []
    for proxy, setting, words in (("nginx", "deaf", "nginx"), ("haproxy", "defaults", "HAProxy")):
        rows = frame[
            (frame["proxy"] == proxy) & (frame["setting"] == setting) & (frame["transport"] == transport)
        ]
        said += [f"{words}: {outcome}" for outcome in rows["outcome"]]
    return "; ".join(said)
