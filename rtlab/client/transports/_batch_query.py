"""Limits the batches that a URL asks for to the size that the client accepts in one message."""

from __future__ import annotations

from urllib.parse import parse_qs

from rtlab.policies.size_or_time_batching_windows import parse_window
from rtlab.protocol.limits import BATCH_SLACK_BYTES
from rtlab.protocol.urls import Url

__all__ = ["batches_within"]


def batches_within(url: Url, max_bytes: int) -> Url:
    """Return a URL whose ``?batch=`` asks for no batch larger than the client's message limit.

    Otherwise messages that are each within the limit could exceed it as one batch, and so end the
    connection.

    Parameters
    ----------
    url : Url
        The URL to connect to.
    max_bytes : int
        The largest message that the client accepts, in bytes.

    Examples
    --------
    >>> from rtlab.protocol.urls import parse_url
    >>> batches_within(parse_url("ws://host/ws?batch=0.02:50"), 16_384).query
    'batch=0.02%3A50%3A14336'
    """
    asked = parse_qs(url.query or "").get("batch")
    if asked is None:
        return url
    try:
        window = parse_window(asked[0])
    except ValueError:
        return url  # the server answers what is wrong with it
    most = max(1, max_bytes - BATCH_SLACK_BYTES)
    if window.max_bytes <= most:
        return url
    delay = f"{window.flush_interval:.9f}".rstrip("0").rstrip(".")
    return url.adding(batch=f"{delay}:{window.batch_size}:{most}")
