"""The script of one connection of a mock's peer, step by step; one that contradicts itself is refused."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final, NamedTuple, cast

import msgspec

from rtlab.errors import RtlabError
from rtlab.protocol.close_codes import check_close
from rtlab.testing.message_pattern import Pattern, as_frame
from rtlab.testing.recordings.journal import Journal, JournalEntry

__all__ = ["OPENING", "PeerScript", "PeerStep", "ScriptError", "check_peer_close", "echo"]


class ScriptError(RtlabError):
    """A script contradicts itself, or asks for something impossible."""


class PeerStep(NamedTuple):
    """One step; `do` is the name of the method that added it.

    Parameters
    ----------
    do : str
        ``"expect"``, ``"send"`` …
    data : object
        The step's argument: a pattern, a message, a function, a subprotocol, a close reason, or the
        seconds of a ``Retry-After``.
    seconds : float
        A delay, a time limit, or a duration; infinite means no limit.
    code : int
        A close code, or an HTTP status. Status 0 refuses the connection, as if nothing listened on the port.
    """

    do: str
    data: Any = None
    seconds: float = math.inf
    code: int = 0


#: The steps that are possible only before the handshake is answered.
OPENING: Final = ("slow_open", "refuse", "accept")


def echo(data: str | bytes) -> str | bytes:
    """Return a message unchanged; a function for `PeerScript.answer`."""
    return data


def check_peer_close(code: int, reason: str) -> None:
    """Raise `ScriptError` if a peer's close frame cannot carry a code and a reason."""
    try:
        check_close(code, reason)
    except ValueError as error:
        raise ScriptError(f"close: {error}") from None


class PeerScript:
    """The steps of one connection. Every method returns a new, longer script; none changes its own.

    A message is text, bytes, or any value that JSON can encode.

    Raises
    ------
    ScriptError
        As soon as a step is added that could never happen.

    Examples
    --------
    >>> PeerScript().expect({"type": "hello"}).send({"type": "welcome"}).close(1012)
    <PeerScript: expect, send, close>
    """

    def __init__(self, steps: Iterable[PeerStep] = ()) -> None:
        self.steps: tuple[PeerStep, ...] = tuple(steps)

    def __repr__(self) -> str:
        return f"<PeerScript: {', '.join(step.do for step in self.steps) or 'accept and listen'}>"

    # Opening

    def slow_open(self, seconds: float) -> PeerScript:
        """Answer the handshake only after this many seconds."""
        return self._and(PeerStep("slow_open", seconds=_duration("slow_open", seconds)))

    def refuse(self, status: int = 0, *, retry_after: float | None = None) -> PeerScript:
        """Refuse the connection.

        Parameters
        ----------
        status : int
            HTTP status that answers the handshake; 0: the connection fails, as if nothing listened.
        retry_after : float, optional
            Seconds in the answer's ``Retry-After`` field; None: no such field.
        """
        if status and (status not in set(HTTPStatus) or status in (101, 100, 102, 103)):
            raise ScriptError(f"expected the status of a refusal, such as 503, got {status}")
        if retry_after is not None and not status:
            raise ScriptError("a port where nobody listens cannot say retry_after: give a status too")
        return self._and(PeerStep("refuse", retry_after, code=status))

    def accept(self, subprotocol: str) -> PeerScript:
        """Accept the handshake with this subprotocol; a script without this step selects none."""
        return self._and(PeerStep("accept", subprotocol))

    # Messages

    def expect(self, pattern: Pattern, *, within: float = math.inf) -> PeerScript:
        """Wait for the client's next message, at most `within` seconds; it must match (see `matches`).

        Otherwise the connection is reset, and `ScriptedPeer.check` raises `ScriptFailed` with a diagram.
        """
        return self._and(PeerStep("expect", pattern, _duration("expect", within, endless=True)))

    def send(self, *messages: Any) -> PeerScript:
        """Send messages, one after the other."""
        try:
            frames = [as_frame(message) for message in messages]
        except Exception as error:
            raise ScriptError(f"send: JSON cannot say this message: {error}") from error
        script = self
        for frame in frames:
            script = script._and(PeerStep("send", frame))
        return script

    def pause(self, seconds: float) -> PeerScript:
        """Wait; messages that arrive meanwhile are kept for the next `expect` or `answer`."""
        return self._and(PeerStep("pause", seconds=_duration("pause", seconds)))

    def answer(self, function: Callable[[Any], Any], *, lasting: float = math.inf) -> PeerScript:
        """Answer every message with what ``function(message)`` returns; None sends no answer.

        Parameters
        ----------
        function : callable
            Gets the message as text or bytes, as it was received; for instance `echo`.
        lasting : float
            Seconds after which the script continues with its next step; infinite: never.
        """
        if not callable(function):
            raise ScriptError(f"expected a function of a message, got {function!r}")
        return self._and(PeerStep("answer", function, _duration("answer", lasting, endless=True)))

    # Ends

    def stay_silent(self, *, lasting: float = math.inf) -> PeerScript:
        """Send nothing, discard messages, but answer pings: the process lives, its program hangs."""
        return self._and(PeerStep("stay_silent", seconds=_duration("stay_silent", lasting, endless=True)))

    def half_open(self) -> PeerScript:
        """Vanish without closing: read nothing and answer nothing, neither a ping nor a close."""
        return self._and(PeerStep("half_open"))

    def close(self, code: int = 1000, reason: str = "") -> PeerScript:
        """Start the closing handshake (RFC 6455 §7.1.2)."""
        check_peer_close(code, reason)
        return self._and(PeerStep("close", reason, code=code))

    def reset(self) -> PeerScript:
        """Drop the connection without a close frame."""
        return self._and(PeerStep("reset"))

    def reset_in_mid_frame(self, message: Any) -> PeerScript:
        """Send half of a message, and drop the connection."""
        return self._and(PeerStep("reset_in_mid_frame", as_frame(message)))

    # From a recording

    @classmethod
    def replay(
        cls, recording: Journal | str | Path, connection: int = 1, *, paced: bool = False
    ) -> PeerScript:
        """Make a script that acts as the peer in a recording did.

        Parameters
        ----------
        recording : Journal or path
            The recording of a live connection, or of an earlier test.
        connection : int
            Number of the recorded connection, from 1.
        paced : bool
            Whether the script also waits as long as the recorded peer did.

        Raises
        ------
        ScriptError
            If the recording has no such connection.
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

    def _with(self, entry: JournalEntry) -> PeerScript:
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

    def _and(self, step: PeerStep) -> PeerScript:
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
    """Return the pattern of a recorded message, without what differs from run to run: id, time, secrets."""
    try:
        value = msgspec.json.decode(data)
    except Exception:  # not JSON: must be equal
        return data
    if not isinstance(value, dict):
        return data
    fields = cast("dict[str, Any]", value)
    untold = ("id", "ts", "token", *(("payload",) if fields.get("type") == "auth" else ()))  # a secret
    return {key: part for key, part in fields.items() if key not in untold}


def _duration(name: str, seconds: float, *, endless: bool = False) -> float:
    given: Any = seconds
    if isinstance(given, bool) or not isinstance(given, (int, float)) or not given >= 0:
        raise ScriptError(f"{name}: expected seconds, 0 or more, got {given!r}")
    if math.isinf(given) and not endless:
        raise ScriptError(f"{name}: it would wait for ever; stay_silent() and half_open() say what is meant")
    return float(given)
