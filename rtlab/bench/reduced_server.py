"""The lab's server without one of its checks, as a module to run: what the check is held against.

``python -m rtlab.bench.reduced_server --without CHECK …``, and the arguments of the server itself.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any, Final

from rtlab.server.__main__ import main
from rtlab.server.endpoints import websocket as endpoint
from rtlab.server.guard import Guard

__all__ = ["WITHOUT", "main"]


def _nothing(*_: object) -> None:
    pass


def _authorise_nobody() -> None:
    Guard.authorise = _nothing  # type: ignore[method-assign]


def _take_any_frame() -> None:
    def bare(parser: Any, queue: Any) -> Any:
        return parser

    endpoint.StrictFrames = bare  # type: ignore[misc]


#: Check → what takes it out.
WITHOUT: Final[dict[str, Callable[[], None]]] = {
    "authorise": _authorise_nobody,
    "strict frames": _take_any_frame,
}

if __name__ == "__main__":
    at = sys.argv.index("--without")
    _, check = sys.argv.pop(at), sys.argv.pop(at)
    WITHOUT[check]()
    raise SystemExit(main())
