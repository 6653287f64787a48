"""The names of the four transports, in the order in which every table lists them."""

from __future__ import annotations

from typing import Final

__all__ = ["TRANSPORTS"]

TRANSPORTS: Final = ("websocket", "sse", "longpoll", "webrtc")
