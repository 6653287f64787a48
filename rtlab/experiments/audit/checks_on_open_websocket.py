"""Checks of an open WebSocket: frames, limits, and what a message's type can reach."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from rtlab.errors import ConnectFailed
from rtlab.experiments.audit.check_and_finding_types import Check, Finding
from rtlab.experiments.audit.requests_to_audited_server import Target
from rtlab.experiments.endpoint.craft_invalid_websocket_frames import raw_frame
from rtlab.experiments.websocket_conformance.against_server import server_frames
from rtlab.experiments.websocket_conformance.frame_cases import DEFLATE_CASES, FRAME_CASES, Fails, FrameCase
from rtlab.protocol.websocket_framing import CLOSE, PING, PONG, TEXT

__all__ = ["INSIDE", "inside_checks"]

FRAMES: Final = Check(
    "frames", "medium", "RFC 6455 §5", "fail the connection with 1002 or 1007 at the first wrong frame"
)
CLOSES: Final = Check("close codes", "low", "RFC 6455 §7.4", "answer a close code that is none with 1002")
SIZE: Final = Check(
    "message size", "high", "RFC 6455 §10.4", "close with 1009 at the header that says too much"
)
BOMB: Final = Check(
    "compression bomb", "high", "RFC 6455 §10.4", "count what comes out while inflating, not after"
)
FLOOD: Final = Check(
    "flood", "medium", "CWE-770", "limit messages and bytes of each connection, user, address"
)
NAMES: Final = Check(
    "handlers by name", "high", "CWE-470", "look types up in a table that is written, not by getattr or []"
)
KEYS: Final = Check("duplicate keys", "low", "RFC 8259 §4", "refuse a key that stands twice in one object")

#: All checks of an open WebSocket: an audit reports each as not seen when no handshake succeeds.
INSIDE: Final = (FRAMES, CLOSES, SIZE, BOMB, FLOOD, NAMES, KEYS)

#: Number of messages that the flood check sends at once; a human user sends a handful per second.
FLOOD_MESSAGES: Final = 3000

_FAILS: Final = tuple(case for case in FRAME_CASES if isinstance(case.expect, Fails))
_SIZES: Final = tuple(case for case in _FAILS if case.section == "6455 §10.4")
_CODES: Final = tuple(case for case in _FAILS if case.section == "6455 §7.4")
_OTHERS: Final = tuple(case for case in _FAILS if case not in (*_SIZES, *_CODES))
_BOMBS: Final = tuple(case for case in DEFLATE_CASES if case.section == "6455 §10.4")

_LIMITED: Final = re.compile(rb"rate.?limit|too (many|fast|often)|slow down|try again", re.I)
_OBJECT: Final = re.compile(rb"<class '|<bound method|object at 0x|native code|mappingproxy|_result\"")


async def inside_checks(target: Target) -> list[Finding]:
    """Run every check of an open connection; return a finding for each."""
    return [
        await _rows(FRAMES, target, _OTHERS),
        await _rows(CLOSES, target, _CODES),
        await _rows(SIZE, target, _SIZES),
        await _bomb(target),
        await _names(target),
        await _keys(target),
        await _flood(target),
    ]


async def _rows(
    check: Check, target: Target, cases: Sequence[FrameCase], *, deflate: bool = False
) -> Finding:
    rows = await server_frames(str(target.url), cases, deflate=deflate, fields=target.fields, ssl=target.ssl)
    return check.judged_rows(rows)


async def _bomb(target: Target) -> Finding:
    answer = await target.handshake({"Sec-WebSocket-Extensions": "permessage-deflate"})
    if not answer.field("Sec-WebSocket-Extensions"):
        return BOMB.unseen("no compression is agreed on: nothing could be tried")
    return await _rows(BOMB, target, _BOMBS, deflate=True)


async def _said(target: Target, texts: Sequence[bytes]) -> list[bytes]:
    """Send messages; return the server's answers until it has read them all or closes the connection."""
    said: list[bytes] = []
    async with await target.dial() as wire:
        head = await wire.upgrade(**{name.replace("-", "_"): value for name, value in target.fields.items()})
        if head.status != 101:
            raise ConnectFailed(f"{target.url.netloc} answered HTTP {head.status} the second time")
        await wire.send(b"".join(raw_frame(TEXT, text) for text in texts) + raw_frame(PING, b"all"))
        try:
            while (frame := await wire.frame()) is not None:
                if frame.opcode == PONG and frame.payload == b"all":
                    await wire.send(raw_frame(PING, b"again"))  # answers may follow the first pong
                elif frame.opcode == PONG:
                    return said
                elif frame.opcode == TEXT:
                    said.append(frame.payload)
                elif frame.opcode == CLOSE:
                    return [*said, b"close: rate limit" if frame.code in (1008, 1013) else b"close"]
        except TimeoutError:
            return said
    return [*said, b"end"]


async def _flood(target: Target) -> Finding:
    said = await _said(target, [b'{"type":"echo","id":"%d"}' % n for n in range(FLOOD_MESSAGES)])
    limited = any(_LIMITED.search(text) for text in said) or said[-1:] in ([b"close"], [b"end"])
    return FLOOD.judged(
        "" if limited else f"{FLOOD_MESSAGES:,} messages at once, and all were taken",
        f"of {FLOOD_MESSAGES:,} messages at once, some were refused",
    )


async def _names(target: Target) -> Finding:
    names = ("__class__", "__dict__", "constructor", "toString", "__proto__")
    said = await _said(target, [b'{"type":"%b","id":"1"}' % name.encode() for name in names])
    leak = next((text for text in said if _OBJECT.search(text)), b"")
    return NAMES.judged(leak[:80].decode(errors="replace"), f"{len(names)} names of objects reached nothing")


async def _keys(target: Target) -> Finding:
    said = await _said(target, [b'{"type":"echo","id":"1","payload":"first","payload":"second"}'])
    taken = any(b'"second"' in text or b'"first"' in text for text in said if b'"error"' not in text)
    return KEYS.judged("one of two values was obeyed" if taken else "", "neither value was obeyed")
