"""rtlab: learn, teach and measure real-time web communication in a notebook.

The public names are imported when they are first used, so that ``import rtlab``
itself stays quick.
"""

from __future__ import annotations

import importlib
from typing import Any, Final

__version__ = "0.1.0"

_HOME: Final[dict[str, str]] = {
    "Message": "rtlab.messages",
    "WebSocketConnection": "rtlab.transports.websocket",
}

__all__ = ["__version__", *sorted(_HOME)]  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> Any:
    home = _HOME.get(name)
    if home is None:
        raise AttributeError(f"module 'rtlab' has no attribute {name!r}")
    value = getattr(importlib.import_module(home), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
