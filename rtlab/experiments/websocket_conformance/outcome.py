"""How a receiver reacted to the frames of a case, and whether the RFC allows that."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, NamedTuple, TypeVar

import msgspec

from rtlab.experiments.endpoint.craft_invalid_websocket_frames import raw_frame
from rtlab.experiments.websocket_conformance.frame_cases import Fails, FrameCase, Returns, Takes

__all__ = ["FENCE", "ReceiverOutcome", "ScoreboardRow", "abreast", "sent", "verdict"]

Case = TypeVar("Case")

#: Number of cases that run concurrently.
_ABREAST: Final = 8

#: Payload of a ping (the "fence") sent after a case's frames; its pong shows that the receiver continued.
FENCE: Final = b"the end of the row"


class ScoreboardRow(NamedTuple):
    """One row of the scoreboard: the result of one case.

    Parameters
    ----------
    end : {"server", "client"}
        The end under test.
    rule, section : str
        The rule that was tested, and the RFC section that states it.
    holds : bool
        Whether the end under test keeps the rule.
    saw : str
        What the end under test did.
    """

    end: str
    rule: str
    section: str
    holds: bool
    saw: str


class ReceiverOutcome(msgspec.Struct):
    """What the receiver of the frames did; filled in while the case runs.

    Attributes
    ----------
    code : int or None
        Code of the receiver's close frame; None if it sent none.
    ended : bool
        Whether the receiver closed the connection.
    pongs : list of bytes
        Payloads of the receiver's pongs, without the fence's.
    fence : bool
        Whether the receiver answered the fence.
    notes : int
        Number of messages that the receiver delivered.
    mask_is_wrong : bool
        Whether the masking of a frame from the receiver violated §5.1.
    """

    code: int | None = None
    ended: bool = False
    pongs: list[bytes] = []
    fence: bool = False
    notes: int = 0
    mask_is_wrong: bool = False

    def pong(self, payload: bytes) -> None:
        """Record a pong of the receiver."""
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
    """Return the bytes of a case's frames, masked for a server or unmasked for a client."""
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


def verdict(end: str, case: FrameCase, outcome: ReceiverOutcome) -> ScoreboardRow:
    """Compare an outcome with what the case requires; return its row."""
    match case.expect:
        case Fails(codes):
            # A client may notice the error only when a message is read, after its library answered the fence.
            went_on = outcome.fence and (end == "server" or outcome.code is None)
            holds = not went_on and outcome.notes == 0
            holds = holds and (outcome.code in codes or (outcome.code is None and outcome.ended))
        case Takes(notes, pongs):
            holds = outcome.fence and outcome.notes == notes and tuple(outcome.pongs) == pongs
            holds = holds and outcome.code is None
        case Returns(codes):
            holds = outcome.code in codes and not outcome.pongs and (end == "client" or outcome.ended)
    return ScoreboardRow(end, case.name, case.section, holds and not outcome.mask_is_wrong, str(outcome))


async def abreast(
    cases: Sequence[Case], one: Callable[[Case], Awaitable[ScoreboardRow]]
) -> list[ScoreboardRow]:
    """Run cases, a few at a time; return their rows, in the order of the cases."""
    places = asyncio.Semaphore(_ABREAST)

    async def placed(case: Case) -> ScoreboardRow:
        async with places:
            return await one(case)

    return list(await asyncio.gather(*map(placed, cases)))
