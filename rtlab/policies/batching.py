"""When the messages that were collected leave as one batch: three windows.

`SizeOrTimeout` waits from a batch's first message, `FixedTick` for the next tick of a
clock, `Adaptive` steers the wait so that the delay that it adds stays near a target.
Each is a frozen decision over a `Batch`: messages come and go with `add` and `leave`, the
caller owns the clock and the messages themselves.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Final

import msgspec

__all__ = ["Adaptive", "Batch", "BatchWindow", "FixedTick", "SizeOrTimeout", "parse_window"]


_WINDOW: Final = re.compile(r"(\d{1,3}(?:\.\d{1,9})?)(?::(\d{1,9})(?::(\d{1,9}))?)?", re.ASCII)

#: What a client may ask of a server: beyond them an answer would be given up, a frame be too large.
_MAX_DELAY: Final = 1.0
_MAX_SIZE: Final = 1000
_MAX_BYTES: Final = 256 * 1024


class Batch(msgspec.Struct, frozen=True, gc=False):
    """What a window knows of the batch that is being collected.

    Parameters
    ----------
    wait : float
        Seconds that the window waits at most, for this batch.
    messages, size_bytes : int
        What it holds.
    first_at : float
        When its first message came.
    arrivals : float
        The sum of all messages' times of arrival, counted from the first.
    due : float
        When it has to leave; ``inf`` while it is empty.
    """

    wait: float
    messages: int = 0
    size_bytes: int = 0
    first_at: float = 0.0
    arrivals: float = 0.0
    due: float = math.inf

    def mean_delay(self, now: float) -> float:
        """Seconds that its messages have waited, in the mean; 0 for an empty one."""
        return now - self.first_at - self.arrivals / self.messages if self.messages else 0.0


@dataclass(frozen=True, kw_only=True)
class BatchWindow:
    """What all windows share: a batch leaves when it is full, or when its time has come.

    Parameters
    ----------
    batch_size : int
        Messages at which a batch leaves at once.
    max_bytes : int
        Bytes that a batch never exceeds.

    Raises
    ------
    ValueError
        A parameter is out of range.
    """

    batch_size: int = 10
    max_bytes: int = 64 * 1024

    def __post_init__(self) -> None:
        for name in ("batch_size", "max_bytes"):
            value: object = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise ValueError(f"expected {name} to be a whole number of at least 1, got {value!r}")
        self._validate()

    def _validate(self) -> None: ...

    def start(self) -> Batch:
        """Return the first batch, empty."""
        raise NotImplementedError

    def has_room(self, batch: Batch, size_bytes: int) -> bool:
        """Whether a message of this size still fits; if not, the batch leaves before it."""
        return batch.messages < self.batch_size and batch.size_bytes + size_bytes <= self.max_bytes

    def add(self, batch: Batch, size_bytes: int, now: float) -> Batch:
        """Put a message into a batch that has room for it.

        Parameters
        ----------
        batch : Batch
            What was collected so far.
        size_bytes : int
            The message's size.
        now : float
            Seconds, of a clock that does not go back.
        """
        if not batch.messages:
            return Batch(batch.wait, 1, size_bytes, now, batch.arrivals, self._due(batch, now))
        # Field by field: `replace` takes three times as long, for each message that is collected.
        return Batch(
            batch.wait,
            batch.messages + 1,
            batch.size_bytes + size_bytes,
            batch.first_at,
            batch.arrivals + now - batch.first_at,
            batch.due,
        )

    def leaves(self, batch: Batch, now: float) -> bool:
        """Whether the batch leaves now: it is full, or its time has come."""
        return batch.messages >= self.batch_size or batch.size_bytes >= self.max_bytes or now >= batch.due

    def leave(self, batch: Batch, now: float) -> Batch:
        """Return the next batch, empty, after this one left at `now`."""
        return Batch(batch.wait)

    def _due(self, batch: Batch, now: float) -> float:
        return now + batch.wait


@dataclass(frozen=True, kw_only=True)
class SizeOrTimeout(BatchWindow):
    """Leaves when it is full, or `flush_interval` after its first message.

    At a low rate each message waits the whole interval, not half of it: it is alone, and
    opened the batch itself. `rtlab.models.batching` has the closed forms.

    Parameters
    ----------
    flush_interval : float
        Seconds, T. 0 collects what is sent before the caller next looks at the clock.

    Examples
    --------
    >>> window = SizeOrTimeout(batch_size=2, flush_interval=0.1)
    >>> batch = window.add(window.start(), 64, now=1.0)
    >>> window.leaves(batch, 1.05), window.leaves(batch, 1.1)
    (False, True)
    >>> window.leaves(window.add(batch, 64, now=1.05), 1.05)
    True
    """

    flush_interval: float = 0.1

    def _validate(self) -> None:
        _seconds("flush_interval", self.flush_interval, zero=True)

    def start(self) -> Batch:
        """Return the first batch, empty."""
        return Batch(self.flush_interval)


@dataclass(frozen=True, kw_only=True)
class FixedTick(BatchWindow):
    """Leaves at the ticks of a clock, or when it is full.

    A message waits half an interval in the mean, at any rate (`rtlab.models.batching.tick_delay`),
    and all clients that share a clock send at the same moment.

    Parameters
    ----------
    interval : float
        Seconds between two ticks.
    phase : float
        Seconds of the clock at one of the ticks.

    Examples
    --------
    >>> window = FixedTick(interval=0.1)
    >>> round(window.add(window.start(), 64, now=1.03).due, 6)
    1.1
    """

    interval: float = 0.1
    phase: float = 0.0

    def _validate(self) -> None:
        _seconds("interval", self.interval, zero=False)
        if not math.isfinite(self.phase):
            raise ValueError(f"expected phase in finite seconds, got {self.phase!r}")

    def start(self) -> Batch:
        """Return the first batch, empty."""
        return Batch(self.interval)

    def _due(self, batch: Batch, now: float) -> float:
        return self.phase + (math.floor((now - self.phase) / self.interval) + 1) * self.interval


@dataclass(frozen=True, kw_only=True)
class Adaptive(BatchWindow):
    """Steers the wait so that the mean delay that it adds comes near a target, at any rate.

    The control law is integral and multiplicative. After a batch whose messages waited d in
    the mean, the wait T becomes ``T · exp(gain · (1 − d/target))``, and stays between
    ``target/100`` and ``2 · target``. With neither limit of size reached, d = T·(λT + 2)/(2(λT + 1))
    lies between T/2 (many messages) and T (one): T settles between `target` and twice that, and
    a deviation shrinks by a factor of about ``1 − gain`` per batch. Where batches fill up
    first, d stays below the target whatever T is; the upper bound keeps T from growing
    meanwhile (no wind-up), so that no message ever waits longer than ``2 · target``.

    Parameters
    ----------
    target : float
        Seconds of added delay, in the mean.
    gain : float
        How strongly one batch corrects the wait, in (0, 1]: more follows faster, and is noisier.

    Examples
    --------
    >>> window = Adaptive(target=0.02, gain=0.5)
    >>> alone = window.add(window.start(), 64, now=1.0)  # waits for all of its 30 ms
    >>> round(window.leave(alone, now=1.03).wait, 4)
    0.0234
    """

    target: float = 0.02
    gain: float = 0.1

    def _validate(self) -> None:
        _seconds("target", self.target, zero=False)
        if not 0 < self.gain <= 1:
            raise ValueError(f"expected 0 < gain <= 1, got {self.gain!r}")

    def start(self) -> Batch:
        """Return the first batch, empty."""
        return Batch(1.5 * self.target)

    def leave(self, batch: Batch, now: float) -> Batch:
        """Return the next batch, with a wait that was corrected by this one's delay."""
        if not batch.messages:
            return Batch(batch.wait)
        # A caller that was held up adds a delay which is not the window's.
        delay = batch.mean_delay(min(now, batch.due))
        wait = batch.wait * math.exp(self.gain * (1 - delay / self.target))
        return Batch(min(2 * self.target, max(self.target / 100, wait)))


def parse_window(text: str) -> SizeOrTimeout:
    """Read a window as it is written in URLs: seconds, and perhaps messages, and bytes.

    Parameters
    ----------
    text : str
        ``DELAY``, ``DELAY:MESSAGES`` or ``DELAY:MESSAGES:BYTES``.

    Returns
    -------
    SizeOrTimeout

    Raises
    ------
    ValueError
        It says what was expected.

    Examples
    --------
    >>> parse_window("0.02:50")
    SizeOrTimeout(batch_size=50, max_bytes=65536, flush_interval=0.02)
    """
    match = _WINDOW.fullmatch(text)
    if match is not None:
        delay, size, limit = float(match[1]), int(match[2] or 100), int(match[3] or 65_536)
        if delay <= _MAX_DELAY and 1 <= size <= _MAX_SIZE and 1 <= limit <= _MAX_BYTES:
            return SizeOrTimeout(flush_interval=delay, batch_size=size, max_bytes=limit)
    raise ValueError(
        f"batch: expected DELAY[:MESSAGES[:BYTES]], up to {_MAX_DELAY:g} s, {_MAX_SIZE} messages "
        f"and {_MAX_BYTES} bytes, got {text!r:.80}"
    )


def _seconds(name: str, value: float, *, zero: bool) -> None:
    if not math.isfinite(value) or value < 0 or (value == 0 and not zero):
        raise ValueError(f"expected {name} {'>=' if zero else '>'} 0, in finite seconds, got {value!r}")
