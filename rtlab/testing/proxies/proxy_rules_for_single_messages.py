"""Rules for single messages between a client and a server: change, drop, repeat or hold them."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any, Final, Literal

import msgspec

from rtlab.client.user_callback_errors import call
from rtlab.errors import describe
from rtlab.testing.fake_clock import loop_time
from rtlab.testing.message_pattern import Pattern, as_frame, matches
from rtlab.testing.mock.mock_frames import Item
from rtlab.testing.mock.mock_script_steps import ScriptError
from rtlab.testing.mock.scripted_peer import ScriptFailed
from rtlab.testing.recordings.journal import Journal

__all__ = ["HeldMessage", "MessageRules", "RuledLink", "Sender"]

Sender = Literal["client", "server"]


def _nothing() -> None:
    pass


class HeldMessage:
    """A message that `MessageRules.hold` waits for, and then holds back.

    Attributes
    ----------
    data : str, bytes or None
        The message; None until it has arrived.
    """

    def __init__(self) -> None:
        self.data: str | bytes | None = None
        self._here = asyncio.Event()
        self._released = False
        self._go: Callable[[], object] = _nothing

    def keep(self, data: str | bytes, go: Callable[[], object]) -> bool:
        """Hold this message until `release` calls `go`; return False if it was released before it came."""
        self.data = data
        self._here.set()
        self._go = go
        return not self._released

    async def arrived(self, within: float = 5.0) -> str | bytes:
        """Wait until the message is held; return it.

        Parameters
        ----------
        within : float
            Seconds to wait at most.

        Raises
        ------
        TimeoutError
            If no matching message came in time.
        """
        try:
            async with asyncio.timeout(within):
                await self._here.wait()
        except TimeoutError:
            text = f"expected a message to hold within {within:g} s, none that fits came"
            raise TimeoutError(text) from None
        assert self.data is not None
        return self.data

    def release(self) -> None:
        """Let the message go on; if it has not arrived yet, it will not be held."""
        if not self._released:
            self._released = True
            self._go()


class _Rule:
    """What happens to the next matching messages of one sender."""

    def __init__(
        self,
        sender: Sender,
        pattern: Pattern,
        times: float,
        new: Callable[[Any], Any] | HeldMessage | int,
        *,
        alone: bool = True,
    ) -> None:
        given: Any = sender
        if given not in ("client", "server"):
            raise ScriptError(f"expected 'client' or 'server', who sends the message, got {sender!r}")
        if not times > 0:
            raise ScriptError(f"expected times above 0, math.inf for all messages, got {times!r}")
        self.sender, self.pattern, self.left, self.new, self.alone = sender, pattern, times, new, alone


class MessageRules:
    """Changes, drops, repeats or holds single messages on their way; all others pass.

    If several rules match a message, the oldest applies.
    In front of a real server, use the subclass `MessageProxy` or `HttpMessageProxy`; in memory, pass the
    rules as a peer's ``link``.

    Parameters
    ----------
    journal : Journal, optional
        Records what the rules did; None: a new journal.

    Attributes
    ----------
    failures : list of str
        Errors of functions given to `change`; the messages concerned were dropped.

    Examples
    --------
    >>> from rtlab.testing.fake_clock import FakeClock
    >>> from rtlab.testing.mock.mock_script_steps import PeerScript, echo
    >>> from rtlab.testing.mock.mock_websocket import MockWebSocket
    >>> from rtlab.testing.mock.scripted_peer import ScriptedPeer
    >>> rules = MessageRules()
    >>> rules.drop("client", "one")
    >>> rules.change("server", "two", str.upper)
    >>> async def talk():
    ...     async with MockWebSocket(ScriptedPeer(PeerScript().answer(echo), link=rules)) as ws:
    ...         for word in ("one", "two", "two"):
    ...             await ws.send(word)
    ...         return [await ws.recv(), await ws.recv()]
    >>> FakeClock().run(talk())
    ['TWO', 'two']
    """

    def __init__(self, journal: Journal | None = None) -> None:
        self.journal: Final = Journal() if journal is None else journal
        self.failures: list[str] = []
        self._rules: list[_Rule] = []

    def __repr__(self) -> str:
        return f"<{type(self).__name__}: {len(self._rules)} rules left>"

    def change(
        self, sender: Sender, pattern: Pattern, new: Callable[[Any], Any], *, times: float = 1
    ) -> None:
        """Send something else instead of the next message that matches.

        Parameters
        ----------
        sender : {"client", "server"}
            The side that sends the message.
        pattern : dict, str, bytes, callable or ...
            See `matches`.
        new : callable
            Called with the message, decoded if it is JSON. Its result is sent instead; None sends nothing.
        times : float
            How many messages the rule applies to; `math.inf` for all.

        Raises
        ------
        ScriptError
            For a rule that could never apply.
        """
        if not callable(new):
            raise ScriptError(f"change: expected a function of a message, got {new!r:.80}")
        self._rules.append(_Rule(sender, pattern, times, new))

    def drop(self, sender: Sender, pattern: Pattern, *, times: float = 1) -> None:
        """Drop the next message that matches; parameters as for `change`."""
        self.change(sender, pattern, lambda message: None, times=times)

    def repeat(self, sender: Sender, pattern: Pattern, *, copies: int = 2, times: float = 1) -> None:
        """Deliver the next message that matches more than once, as a relay that retries does.

        Parameters
        ----------
        sender, pattern, times
            As for `change`.
        copies : int
            How often the message arrives: 2 or more.
        """
        if not copies > 1:
            raise ScriptError(f"repeat: expected copies above 1, got {copies!r}")
        self._rules.append(_Rule(sender, pattern, times, copies))

    def hold(self, sender: Sender, pattern: Pattern, *, alone: bool = True) -> HeldMessage:
        """Hold the next message that matches until `HeldMessage.release`.

        Parameters
        ----------
        sender, pattern
            As for `change`.
        alone : bool
            Whether later messages overtake the held one; False makes them wait too, as on a slow network.
        """
        held = HeldMessage()
        self._rules.append(_Rule(sender, pattern, 1, held, alone=alone))
        return held

    def check(self) -> None:
        """Raise `ScriptFailed`, with a diagram, when a function of `change` raised."""
        if self.failures:
            raise ScriptFailed("\n".join([*self.failures, "What did happen:", self.journal.diagram()]))

    def rule_for(self, sender: Sender, data: str | bytes) -> _Rule | None:
        """Return the rule that applies to a message, if any, and use up one of its `times`."""
        for rule in self._rules:
            if rule.sender == sender and matches(rule.pattern, data):
                rule.left -= 1
                if rule.left <= 0:
                    self._rules.remove(rule)
                return rule
        return None

    async def passed(self, sender: Sender, data: str | bytes, number: int) -> list[str | bytes]:
        """Apply the rules to one message, waiting while it is held; return the messages to send instead."""
        became: list[Any] = []
        way = _Way(self, sender, number, became.append)
        self.journal.add(loop_time(), "client" if sender == "client" else "peer", "message", data, number)
        way.carry(data)
        if way.free is not None:
            await way.free.wait()
        return became

    def __call__(self, number: int, up: Callable[[Item], None], down: Callable[[Item], None]) -> RuledLink:
        """Make the link of one connection."""
        return RuledLink(self, number, up, down)


class _Way:
    """One direction of one connection."""

    def __init__(
        self, rules: MessageRules, sender: Sender, number: int, deliver: Callable[[Item], None]
    ) -> None:
        self._rules = rules
        self._sender: Sender = sender
        self._number = number
        self._deliver = deliver
        self._blocked = False  # a message is held that others must not overtake
        self._behind: deque[Item] = deque()  # what waits for it
        self.free: asyncio.Event | None = None  # set when the message that was held last is released

    def carry(self, item: Item) -> None:
        if self._blocked or self._behind:
            self._behind.append(item)
        else:
            self._pass(item)

    def _pass(self, item: Item) -> None:
        rule = self._rules.rule_for(self._sender, item) if isinstance(item, (str, bytes)) else None
        if rule is None:
            self._deliver(item)
        elif isinstance(item, (str, bytes)):
            self._follow(rule, item)

    def _follow(self, rule: _Rule, data: str | bytes) -> None:
        if isinstance(rule.new, HeldMessage):
            free = asyncio.Event()
            if not rule.new.keep(data, lambda: self._let_go(data, free, alone=rule.alone)):
                self._deliver(data)
                return
            self._note("holds", data)
            self.free = free
            self._blocked = not rule.alone
            return
        if isinstance(rule.new, int):
            self._note(f"makes {rule.new} of it", data)
            for _ in range(rule.new):
                self._deliver(data)
            return
        frame, error = call(rule.new, _decoded(data))
        if frame is not None:
            frame, error = call(as_frame, frame)
        if error is not None:
            self._rules.failures.append(f"connection {self._number}: change raised {describe(error)}")
        if frame is None:
            self._note("drops", data)
            return
        self._note("makes it", frame)
        self._deliver(frame)

    def _let_go(self, data: str | bytes, free: asyncio.Event, *, alone: bool) -> None:
        self._note("lets go", data)
        self._deliver(data)
        free.set()
        if alone:  # what waits, waits for another message
            return
        self._blocked = False
        while self._behind and not self._blocked:
            self._pass(self._behind.popleft())

    def _note(self, what: str, data: str | bytes) -> None:
        self._rules.journal.add(loop_time(), "rule", what, data, self._number)

    def stop(self) -> None:
        self._deliver = _drop


class RuledLink:
    """One connection under rules: a `rtlab.testing.mock.mock_frames.MemoryLink`."""

    def __init__(
        self, rules: MessageRules, number: int, up: Callable[[Item], None], down: Callable[[Item], None]
    ) -> None:
        self._up = _Way(rules, "client", number, up)
        self._down = _Way(rules, "server", number, down)

    def up(self, item: Item) -> None:
        """Carry an item from the client to the server."""
        self._up.carry(item)

    def down(self, item: Item) -> None:
        """Carry an item from the server to the client."""
        self._down.carry(item)

    def cut(self) -> None:
        """Deliver nothing more; a held message is lost."""
        self._up.stop()
        self._down.stop()


def _drop(item: Item) -> None:
    pass


def _decoded(data: str | bytes) -> Any:
    try:
        return msgspec.json.decode(data)
    except Exception:  # bytes of any kind: msgspec raises UnicodeDecodeError and RecursionError, too
        return data
