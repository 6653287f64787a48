"""What a row of frames came to, and whether that is what the RFC asks for."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, NamedTuple, TypeVar

import msgspec

from rtlab.experiments.endpoint.raw_websocket_frames import raw_frame
from rtlab.experiments.websocket_conformance.frame_cases import Fails, FrameCase, Returns, Takes

__all__ = ["FENCE", "Outcome", "Row", "abreast", "sent", "verdict"]

Case = TypeVar("Case")

#: Rows that run side by side.
_ABREAST: Final = 8

#: A ping behind the row's own frames: its pong says that the receiver went on.
FENCE: Final = b"the end of the row"


class Row(NamedTuple):
    """One line of the scoreboard.

    Parameters
    ----------
    end : {"server", "client"}
        Whose rule it is.
    rule, section : str
        What was tried, and which RFC's section says it.
    holds : bool
        Whether the end keeps to it.
    saw : str
        What happened.
    """

    end: str
    rule: str
    section: str
    holds: bool
    saw: str


class Outcome(msgspec.Struct):
    """What the receiver did; filled while it is watched.

    Attributes
    ----------
    code : int or None
        Of its close frame.
    ended : bool
        Whether it ended the connection.
    pongs : list of bytes
        Without the fence's.
    fence : bool
        Whether it answered the fence.
    notes : int
        Messages that it delivered.
    mask_is_wrong : bool
        Whether a frame of its own was masked, or not, against §5.1.
    """

    code: int | None = None
    ended: bool = False
    pongs: list[bytes] = []
    fence: bool = False
    notes: int = 0
    mask_is_wrong: bool = False

    def pong(self, payload: bytes) -> None:
        """Note a pong."""
        if payload == FENCE:
            self.fence = True
        else:
            self.pongs.append(payload)

    def __str__(self) -> str:
        parts = [f"close {self.code}"] if self.code is not None else []
        parts += ["ended"] if self.ended and self.code is None else []
        parts += [f"{self.notes} delivered"] if self.notes else []
        parts += [f"{len(self.pongs)} pongs"] if self.pongs else []
        parts += ["went on"] if self.fence else []
        parts += ["its own masking is wrong"] if self.mask_is_wrong else []
        return ", ".join(parts) or "nothing"


def sent(case: FrameCase, *, mask: bool) -> bytes:
    """Return a row's frames as they go to a server (masked), or to a client."""
    return b"".join(
        raw_frame(
            raw.opcode,
            raw.payload,
            fin=raw.fin,
            rsv=raw.rsv,
            mask=mask != raw.wrong_mask,
            length_bytes=raw.length_bytes,
            length=raw.length,
        )
        for raw in case.frames
    )


def verdict(end: str, case: FrameCase, outcome: Outcome) -> Row:
    """Judge an outcome."""
    match case.expect:
        case Fails(codes):
            # A client may notice only when a message is read: its library has answered the fence by then.
            went_on = outcome.fence and (end == "server" or outcome.code is None)
            holds = not went_on and outcome.notes == 0
            holds = holds and (outcome.code in codes or (outcome.code is None and outcome.ended))
        case Takes(notes, pongs):
            holds = outcome.fence and outcome.notes == notes and tuple(outcome.pongs) == pongs
            holds = holds and outcome.code is None
        case Returns(codes):
            holds = outcome.code in codes and not outcome.pongs and (end == "client" or outcome.ended)
    return Row(end, case.name, case.section, holds and not outcome.mask_is_wrong, str(outcome))


async def abreast(cases: Sequence[Case], one: Callable[[Case], Awaitable[Row]]) -> list[Row]:
    """Run rows, a few side by side; return what each came to, in order."""
    places = asyncio.Semaphore(_ABREAST)

    async def placed(case: Case) -> Row:
        async with places:
            return await one(case)

    return list(await asyncio.gather(*map(placed, cases)))
