"""What a scripted peer does on one connection, step by step; a script that contradicts itself is refused."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final, NamedTuple, cast

import msgspec

from rtlab.errors import RtlabError
from rtlab.protocol.close_codes import check_close
from rtlab.testing.journal import Entry, Journal
from rtlab.testing.matching import Pattern, as_frame

__all__ = ["OPENING", "PeerScript", "ScriptError", "Step", "echo"]


class ScriptError(RtlabError):
    """A script that contradicts itself, or asks for what cannot be."""


class Step(NamedTuple):
    """One step; `do` is the name of the method that added it.

    Parameters
    ----------
    do : str
        ``"expect"``, ``"send"`` …
    data : object
        A pattern, a message, a function, or a reason.
    seconds : float
        A delay, a limit, or how long it lasts; infinite for no end.
    code : int
        A close code, or an HTTP status (0: nobody listens).
    """

    do: str
    data: Any = None
    seconds: float = math.inf
    code: int = 0


#: The steps that come before the handshake is answered.
OPENING: Final = ("slow_open", "refuse", "accept")


def echo(data: str | bytes) -> str | bytes:
    """Answer a frame with itself: for `PeerScript.answer`."""
    return data


class PeerScript:
    """The steps of one connection. Every method returns a longer script, and changes nothing.

    Messages are text, bytes, or anything that JSON can say.

    Raises
    ------
    ScriptError
        At once, for a step that could never happen.

    Examples
    --------
    >>> PeerScript().expect({"type": "hello"}).send({"type": "welcome"}).close(1012)
    <PeerScript: expect, send, close>
    """

    def __init__(self, steps: Iterable[Step] = ()) -> None:
        self.steps: tuple[Step, ...] = tuple(steps)

    def __repr__(self) -> str:
        return f"<PeerScript: {', '.join(step.do for step in self.steps) or 'accept and listen'}>"

    # Opening

    def slow_open(self, seconds: float) -> PeerScript:
        """Answer the handshake so much later."""
        return self._and(Step("slow_open", seconds=_duration("slow_open", seconds)))

    def refuse(self, status: int = 0, *, retry_after: float | None = None) -> PeerScript:
        """Refuse the connection.

        Parameters
        ----------
        status : int
            Answer the handshake with this HTTP status; 0: nobody listens at the port.
        retry_after : float, optional
            Seconds of a ``Retry-After`` field.
        """
        if status and (status not in set(HTTPStatus) or status in (101, 100, 102, 103)):
            raise ScriptError(f"expected the status of a refusal, such as 503, got {status}")
        if retry_after is not None and not status:
            raise ScriptError("a port where nobody listens cannot say retry_after: give a status too")
        return self._and(Step("refuse", retry_after, code=status))

    def accept(self, subprotocol: str) -> PeerScript:
        """Pick this subprotocol; a script without this step picks none."""
        return self._and(Step("accept", subprotocol))

    # Messages

    def expect(self, pattern: Pattern, *, within: float = math.inf) -> PeerScript:
        """Wait for the client's next message: it must fit (see `matches`), and come within so many seconds.

        Else the connection is reset, and `ScriptedPeer.check` raises, with a diagram.
        """
        return self._and(Step("expect", pattern, _duration("expect", within, endless=True)))

    def send(self, *messages: Any) -> PeerScript:
        """Send messages, one after the other."""
        try:
            frames = [as_frame(message) for message in messages]
        except Exception as error:
            raise ScriptError(f"send: JSON cannot say this message: {error}") from error
        script = self
        for frame in frames:
            script = script._and(Step("send", frame))
        return script

    def pause(self, seconds: float) -> PeerScript:
        """Wait; what comes meanwhile is kept for the next `expect`."""
        return self._and(Step("pause", seconds=_duration("pause", seconds)))

    def answer(self, function: Callable[[Any], Any], *, lasting: float = math.inf) -> PeerScript:
        """Answer every message with what the function of its text (or bytes) returns; None is no answer.

        Parameters
        ----------
        function : callable
            `echo`, say.
        lasting : float
            Seconds after which the script goes on.
        """
        if not callable(function):
            raise ScriptError(f"expected a function of a message, got {function!r}")
        return self._and(Step("answer", function, _duration("answer", lasting, endless=True)))

    # Ends

    def stay_silent(self, *, lasting: float = math.inf) -> PeerScript:
        """Say nothing, and forget what comes; pings are answered: the process lives, the program hangs."""
        return self._and(Step("stay_silent", seconds=_duration("stay_silent", lasting, endless=True)))

    def half_open(self) -> PeerScript:
        """Be gone without a word: nothing is read or answered, no ping and no close either."""
        return self._and(Step("half_open"))

    def close(self, code: int = 1000, reason: str = "") -> PeerScript:
        """Close in an orderly way."""
        try:
            check_close(code, reason)
        except ValueError as error:
            raise ScriptError(f"close: {error}") from None
        return self._and(Step("close", reason, code=code))

    def reset(self) -> PeerScript:
        """Drop the connection without a close frame."""
        return self._and(Step("reset"))

    def reset_in_mid_frame(self, message: Any) -> PeerScript:
        """Send half of a message, and drop the connection."""
        return self._and(Step("reset_in_mid_frame", as_frame(message)))

    # From a recording

    @classmethod
    def replay(
        cls, recording: Journal | str | Path, connection: int = 1, *, paced: bool = False
    ) -> PeerScript:
        """Make a script that acts as the peer of a recording did.

        Parameters
        ----------
        recording : Journal or path
            Of a live connection, or of an earlier test.
        connection : int
            Which of its connections.
        paced : bool
            Also take as long as the peer took.

        Raises
        ------
        ScriptError
            When there was no such connection.
        """
        journal = recording if isinstance(recording, Journal) else Journal.load(recording)
        entries = [entry for entry in journal if entry.connection == connection]
        if not entries:
            raise ScriptError(f"the recording has no connection {connection}")
        script, at = cls(), entries[0].at
        for entry in entries:
            if paced and entry.who == "peer" and entry.what in ("message", "close") and entry.at > at:
                script = script.pause(entry.at - at)
            at = entry.at
            script = script._with(entry)
            if script._over:
                break
        return script

    def _with(self, entry: Entry) -> PeerScript:
        match (entry.who, entry.what):
            case ("client", "message"):
                return self.expect(_same(entry.data))
            case ("peer", "message"):
                return self.send(entry.data)
            case ("peer", "close"):
                code, _, reason = str(entry.data).partition(" ")
                return self.close(int(code), reason) if code.isdecimal() and code != "1005" else self.close()
            case ("peer", "reset"):
                return self.reset()
            case _:
                return self

    # Checks

    @property
    def _over(self) -> bool:
        last = self.steps[-1] if self.steps else None
        return last is not None and (
            last.do in ("refuse", "half_open", "close", "reset", "reset_in_mid_frame")
            or (last.do in ("answer", "stay_silent") and math.isinf(last.seconds))
        )

    def _and(self, step: Step) -> PeerScript:
        if self._over:
            last = self.steps[-1].do
            why = (
                "has no end: give it lasting="
                if last in ("answer", "stay_silent")
                else "ends the connection: put it into the next one's script, ScriptedPeer(first, second)"
            )
            raise ScriptError(f'"{step.do}" can never happen after "{last}", which {why}')
        if step.do in OPENING:
            before = [earlier.do for earlier in self.steps]
            late = [name for name in before if name not in OPENING]
            if late:
                raise ScriptError(f'"{step.do}" is part of the opening: it cannot come after "{late[0]}"')
            if step.do in before or (step.do == "refuse" and "accept" in before):
                raise ScriptError(f'"{step.do}" contradicts {", ".join(before)}: a connection opens once')
        return PeerScript((*self.steps, step))


def _same(data: str | bytes) -> Pattern:
    """Return what a recorded message must look like again: its id and secrets differ from run to run."""
    try:
        value = msgspec.json.decode(data)
    except Exception:  # no JSON: word for word
        return data
    if not isinstance(value, dict):
        return data
    fields = cast("dict[str, Any]", value)
    untold = ("id", "ts", "token", *(("payload",) if fields.get("type") == "auth" else ()))  # secrets, too
    return {key: part for key, part in fields.items() if key not in untold}


def _duration(name: str, seconds: float, *, endless: bool = False) -> float:
    given: Any = seconds
    if isinstance(given, bool) or not isinstance(given, (int, float)) or not given >= 0:
        raise ScriptError(f"{name}: expected seconds, 0 or more, got {given!r}")
    if math.isinf(given) and not endless:
        raise ScriptError(f"{name}: it would wait for ever; stay_silent() and half_open() say what is meant")
    return float(given)
