"""Runs the test cases against a server, each case on a connection of its own."""

from __future__ import annotations

import contextlib
import ssl as ssl_module
import zlib
from collections.abc import Mapping, Sequence
from typing import Final

from rtlab.errors import ConnectFailed
from rtlab.experiments.endpoint.craft_invalid_websocket_frames import (
    new_key,
    raw_frame,
    request_head,
    upgrade_fields,
)
from rtlab.experiments.endpoint.timed_connect_steps import Wire, dial
from rtlab.experiments.websocket_conformance.frame_cases import FrameCase, Returns, Takes
from rtlab.experiments.websocket_conformance.handshake_cases import RequestCase
from rtlab.experiments.websocket_conformance.outcome import (
    FENCE,
    ReceiverOutcome,
    ScoreboardRow,
    abreast,
    sent,
    verdict,
)
from rtlab.protocol.urls import parse_url
from rtlab.protocol.websocket_framing import CLOSE, PING, PONG, TEXT

__all__ = ["PATIENCE", "server_frames", "server_handshakes"]

#: Seconds after which a server fails a case if it has not done what the rule requires. A correct server
#: reacts at once, so a long timeout does not slow its tests.
PATIENCE: Final = 5.0

#: The bytes that RFC 7692 §7.2.1 removes from the end of each compressed message.
TAIL: Final = b"\0\0\xff\xff"


async def server_handshakes(
    url: str,
    cases: Sequence[RequestCase],
    *,
    fields: Mapping[str, str] | None = None,
    ssl: ssl_module.SSLContext | None = None,
) -> list[ScoreboardRow]:
    """Send the handshake request of each case; return one row of results per case.

    Parameters
    ----------
    url : str
        URL of the server.
    cases : sequence of RequestCase
        `REQUEST_CASES`, or some of them.
    fields : mapping, optional
        Additional header fields of each request, such as credentials.
    ssl : ssl.SSLContext, optional
        TLS context with the trusted authorities. None trusts the system's.
    """
    besides = fields or {}
    target = parse_url(url).over("ws")

    async def one(case: RequestCase) -> ScoreboardRow:
        async with await dial(target, ssl=ssl) as wire:
            given = {**upgrade_fields(new_key()), **besides, **case.fields}
            await wire.send(request_head(target, given, method=case.method, version=case.version))
            try:
                head = await wire.head(PATIENCE)
            except ConnectFailed:
                head = None
        saw = "no answer" if head is None else head.start.decode("latin-1")
        return ScoreboardRow("server", case.name, case.section, case.holds(head), saw)

    return await abreast(cases, one)


async def server_frames(
    url: str,
    cases: Sequence[FrameCase],
    *,
    deflate: bool = False,
    fields: Mapping[str, str] | None = None,
    ssl: ssl_module.SSLContext | None = None,
) -> list[ScoreboardRow]:
    """Complete a handshake, send each case's frames, and judge the reaction; return one row per case.

    Parameters
    ----------
    url : str
        URL of a server that answers ``echo`` messages as the lab's server does.
    cases : sequence of FrameCase
        `FRAME_CASES`, or `DEFLATE_CASES` with `deflate`.
    deflate : bool
        Whether to negotiate permessage-deflate in the handshake.
    fields, ssl
        As for `server_handshakes`.
    """
    target = parse_url(url).over("ws")
    offer = "permessage-deflate" if deflate else None
    besides = {name.replace("-", "_"): value for name, value in (fields or {}).items()}

    async def one(case: FrameCase) -> ScoreboardRow:
        async with await dial(target, ssl=ssl) as wire:
            head = await wire.upgrade(Sec_WebSocket_Extensions=offer, **besides)
            if head.status != 101 or bool(offer) != bool(head.get(b"sec-websocket-extensions")):
                return ScoreboardRow("server", case.name, case.section, False, head.start.decode("latin-1"))
            ends = isinstance(case.expect, Returns)
            await wire.send(sent(case, mask=True) + (b"" if ends else raw_frame(PING, FENCE)))
            outcome = await _outcome(wire, case)
        return verdict("server", case, outcome)

    return await abreast(cases, one)


async def _outcome(wire: Wire, case: FrameCase) -> ReceiverOutcome:
    outcome = ReceiverOutcome()
    inflater = zlib.decompressobj(-15)
    awaited = case.expect.notes if isinstance(case.expect, Takes) else 0
    with contextlib.suppress(TimeoutError):
        while not (outcome.fence and outcome.notes >= awaited):
            frame = await wire.frame(PATIENCE)
            if frame is None:
                outcome.ended = True
                break
            outcome.mask_is_wrong |= frame.masked
            if frame.opcode == PONG:
                outcome.pong(frame.payload)
            elif frame.opcode == TEXT:
                text = inflater.decompress(frame.payload + TAIL) if frame.rsv else frame.payload
                outcome.notes += text.startswith(b'{"type":"echo"')
            elif frame.opcode == CLOSE:
                outcome.code = frame.code
                break
    if outcome.code is not None and isinstance(case.expect, Returns):
        with contextlib.suppress(TimeoutError):  # the server closes TCP first (§7.1.1)
            while await wire.frame(PATIENCE) is not None:
                continue
            outcome.ended = True
    return outcome
