"""`expect(ws).to_receive({…})`: an assertion that waits, and on failure shows what happened instead."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Protocol, cast

from websockets.exceptions import ConnectionClosed

from rtlab.errors import RtlabError
from rtlab.testing.message_pattern import Pattern, matches, words
from rtlab.testing.mock.mock_websocket import MockWebSocket
from rtlab.testing.mock.scripted_peer import PeerEnd, ScriptedPeer
from rtlab.testing.recordings.journal import Journal

__all__ = ["Expectation", "expect"]


class MessageSource(Protocol):
    """Anything that messages can be read from: a mock, a peer's end, a connection of `websockets`."""

    async def recv(self) -> str | bytes: ...


class Expectation:
    """Assertions about what one end receives, and how it closes; made by `expect`."""

    def __init__(self, end: MessageSource) -> None:
        self._end = end
        self._seen: list[str] = []

    async def to_receive(self, pattern: Pattern, *, within: float = 1.0, skip: bool = False) -> str | bytes:
        """Read the next message, which must match the pattern.

        Parameters
        ----------
        pattern : dict, str, bytes, callable or ...
            See `matches`.
        within : float
            Seconds to wait at most; on a `FakeClock` they take no time.
        skip : bool
            Whether to skip messages that do not match, instead of failing on the first.

        Returns
        -------
        str or bytes
            The message.

        Raises
        ------
        AssertionError
            With what was expected, what came, and a sequence diagram.

        Examples
        --------
        >>> from rtlab.testing.fake_clock import FakeClock
        >>> from rtlab.testing.mock.mock_script_steps import PeerScript
        >>> async def greeting():
        ...     async with MockWebSocket(PeerScript().send({"type": "hi", "id": 1})) as ws:
        ...         return await expect(ws).to_receive({"type": "hi"})
        >>> FakeClock().run(greeting())
        '{"type":"hi","id":1}'
        """
        before, known = self._seen, len(self._seen)
        try:
            async with asyncio.timeout(within):
                while True:
                    data = await self._end.recv()
                    if matches(pattern, data):
                        return data
                    self._seen.append(words(data))
                    if not skip:
                        break
        except TimeoutError:
            what = "nothing that fits" if len(self._seen) > known else "nothing"
            got = f"{what} within {within:g} s"
        except (ConnectionClosed, RtlabError) as error:
            got = str(error)
        else:
            *before, got = self._seen
        raise self._failed(f"expected {words(pattern)}, got {got}", before) from None

    async def to_close(self, code: int | None = None, *, within: float = 1.0) -> None:
        """Wait until the connection has closed, with this code unless it is None; raises as `to_receive`."""
        end = self._end
        if not isinstance(end, MockWebSocket):
            raise TypeError(f"expected a MockWebSocket, which knows how it ends, got {end!r:.80}")
        wanted = "the end" if code is None else f"the end with {code}"
        try:
            async with asyncio.timeout(within):
                await end.wait_closed()
        except TimeoutError:
            raise self._failed(f"expected {wanted} within {within:g} s, it is {end.state.name}") from None
        if code not in (None, end.close_code):
            raise self._failed(f"expected {wanted}, got {end.close_code} {end.close_reason}".rstrip())

    def _failed(self, text: str, before: Sequence[str] = ()) -> AssertionError:
        journal = getattr(self._end, "journal", None)
        if isinstance(journal, Journal):
            return AssertionError(f"{text}\nWhat did happen:\n{journal.diagram()}")
        return AssertionError("\n".join([text, *(f"what came before: {data}" for data in before)]))


def expect(end: MockWebSocket | PeerEnd | ScriptedPeer | MessageSource) -> Expectation:
    """Begin an assertion about one end.

    Parameters
    ----------
    end : MockWebSocket, PeerEnd or ScriptedPeer
        The receiving end; a peer stands for its newest connection. Any other object with ``recv()``
        works too, but without a diagram.
    """
    if isinstance(end, ScriptedPeer):
        return Expectation(end.current)
    if not hasattr(end, "recv"):
        raise TypeError(
            f"expected something with recv(), such as a MockWebSocket or a ScriptedPeer, got {end!r:.80}: "
            "for one of our connections, ask the peer"
        )
    return Expectation(cast("MessageSource", end))
