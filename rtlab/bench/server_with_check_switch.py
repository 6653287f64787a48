"""The lab's server with a check that a client can switch off and on, to measure what the check costs.

``python -m rtlab.bench.server_with_check_switch --switch CHECK …``, followed by the arguments of the server.
A message ``{"type": "switch", "payload": false}`` disables the check for the messages after it; ``true``
enables it.

Both readings then come from one process and connection, with one memory layout and one hash seed: two
processes of the same program differ by up to a tenth.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
from typing import Any, Final

from rtlab.server.__main__ import main
from rtlab.server.authorization_while_connected import Reauthorization
from rtlab.server.handlers import HANDLERS, Services
from rtlab.server.incoming_message import Incoming
from rtlab.server.ingress.message_rate_limit import LimitRate
from rtlab.server.ingress.optional_message_checks import Validate, refuse_duplicate_keys
from rtlab.server.node import Node

__all__ = ["CHECKS", "main"]

#: Enables or disables a check for the messages that follow.
_Switch = Callable[[Incoming, bool], None]


def _steps(node: Node, ours: Callable[[Any], bool]) -> _Switch:
    steps, hub = node.ingress.steps, node.hub
    checked = list(steps)
    rest = [step for step in steps if not ours(step)]
    if rest == checked:
        raise SystemExit("rtlab.bench.server_with_check_switch: this server has no such check to switch")
    # Schema validation checks outgoing messages, too.
    both_ways = any(ours(step) and _is_of(Validate)(step) for step in checked)
    outgoing = hub.check_outgoing

    def switch(_: Incoming, on: bool) -> None:
        steps[:] = checked if on else rest
        if both_ways:
            hub.check_outgoing = outgoing if on else None

    return switch


class _Unchecked:
    """Passes a client's bytes unchecked to the parser that `StrictFrames` wraps."""

    def __init__(self, strict: Any) -> None:
        self._strict = strict
        self.feed_eof = strict.feed_eof

    def feed_data(self, data: bytes) -> tuple[bool, bytes]:
        found: tuple[bool, bytes] = self._strict._parser.feed_data(data)
        if self._strict.when_fed is not None:
            self._strict.when_fed()
        return found


def _frames(_: Node) -> _Switch:
    strict: list[Any] = []  # the connection's `StrictFrames`, after the first switch

    def switch(incoming: Incoming, on: bool) -> None:
        sink: Any = incoming.session.sink
        connection = sink._transport.get_protocol()
        if not strict:
            strict.append(connection._payload_parser)
        connection._payload_parser = strict[0] if on else _Unchecked(strict[0])

    return switch


def _is_of(kind: type) -> Callable[[Any], bool]:
    return lambda step: isinstance(getattr(step, "__self__", None), kind)


def _is_authorise(step: Any) -> bool:
    return getattr(step, "__func__", None) is Reauthorization.authorise


#: Name of the check → function that makes the switch for a node.
CHECKS: Final[dict[str, Callable[[Node], _Switch]]] = {
    "validation": partial(_steps, ours=_is_of(Validate)),
    "keys": partial(_steps, ours=lambda step: step is refuse_duplicate_keys or _is_of(Validate)(step)),
    "limits": partial(_steps, ours=_is_of(LimitRate)),
    "authorisation": partial(_steps, ours=_is_authorise),
    "frames": _frames,
}


def _make_switchable(check: str) -> None:
    build = Node.__init__

    def init(self: Node, *args: Any, **named: Any) -> None:
        build(self, *args, **named)
        switch = CHECKS[check](self)

        def obey(_: Services, incoming: Incoming) -> None:
            switch(incoming, bool(incoming.message.payload))

        HANDLERS["switch"] = obey

    Node.__init__ = init  # type: ignore[method-assign]


if __name__ == "__main__":
    at = sys.argv.index("--switch")
    _, check = sys.argv.pop(at), sys.argv.pop(at)
    _make_switchable(check)
    raise SystemExit(main())
