"""When collected messages are sent as one batch: three kinds of batching window.

`SizeOrTimeout` waits for a time from a batch's first message, `FixedTick` waits for the next
tick of a clock, and `Adaptive` controls the wait so that the added delay stays near a target.
Each window is frozen, and decides about a `Batch`, which only has the counts and the times;
the caller has the clock and the messages themselves.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Final

import msgspec

__all__ = ["Adaptive", "Batch", "BatchWindow", "FixedTick", "SizeOrTimeout", "parse_window"]


_WINDOW: Final = re.compile(r"(\d{1,3}(?:\.\d{1,9})?)(?::(\d{1,9})(?::(\d{1,9}))?)?", re.ASCII)

#: The largest window that a client may ask a server for: with a longer delay, clients would give up
#: waiting for answers, and with more bytes, frames would be too large.
_MAX_DELAY: Final = 1.0
_MAX_SIZE: Final = 1000
_MAX_BYTES: Final = 256 * 1024


class Batch(msgspec.Struct, frozen=True, gc=False):
    """The counts and times of the batch that is being collected.

    Parameters
    ----------
    wait : float
        The longest wait of this batch, in seconds.
    messages, size_bytes : int
        The number of messages in the batch, and their total size.
    first_at : float
        When the first message came, in seconds on the caller's clock.
    arrivals : float
        The sum of all messages' arrival times, in seconds since the first message.
    due : float
        When the batch must be sent, on the caller's clock; ``inf`` while it is empty.
    """

    wait: float
    messages: int = 0
    size_bytes: int = 0
    first_at: float = 0.0
    arrivals: float = 0.0
    due: float = math.inf

    def mean_delay(self, now: float) -> float:
        """Return the mean wait of the batch's messages in seconds; 0 for an empty batch."""
        return now - self.first_at - self.arrivals / self.messages if self.messages else 0.0


@dataclass(frozen=True, kw_only=True)
class BatchWindow:
    """The base class of all windows: a batch is sent when it is full, or when it is due.

    Parameters
    ----------
    batch_size : int
        The number of messages at which a batch is sent at once.
    max_bytes : int
        The most bytes of a batch; the batch is sent when it has as many.

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
        """Return whether a message of this size fits; if not, the batch must be sent first."""
        return batch.messages < self.batch_size and batch.size_bytes + size_bytes <= self.max_bytes

    def add(self, batch: Batch, size_bytes: int, now: float) -> Batch:
        """Return the batch with one more message, for which it must have room.

        Parameters
        ----------
        batch : Batch
            The batch so far.
        size_bytes : int
            The message's size.
        now : float
            The time in seconds, on a monotonic clock.
        """
        if not batch.messages:
            return Batch(batch.wait, 1, size_bytes, now, batch.arrivals, self._due(batch, now))
        # Built by hand for each collected message: `replace` takes three times as long.
        return Batch(
            batch.wait,
            batch.messages + 1,
            batch.size_bytes + size_bytes,
            batch.first_at,
            batch.arrivals + now - batch.first_at,
            batch.due,
        )

    def leaves(self, batch: Batch, now: float) -> bool:
        """Return whether the batch must be sent now, because it is full or due."""
        return batch.messages >= self.batch_size or batch.size_bytes >= self.max_bytes or now >= batch.due

    def leave(self, batch: Batch, now: float) -> Batch:
        """Return the next, empty batch, after this one was sent at `now`."""
        return Batch(batch.wait)

    def _due(self, batch: Batch, now: float) -> float:
        return now + batch.wait


@dataclass(frozen=True, kw_only=True)
class SizeOrTimeout(BatchWindow):
    """Sends a batch when it is full, or `flush_interval` after its first message.

    At a low rate each message waits for the whole interval, not half of it, because it is alone
    in its batch, and so the first. `rtlab.models.batching` has the closed forms.

    Parameters
    ----------
    flush_interval : float
        The wait T in seconds; 0 collects the messages that come until the caller next calls `leaves`.

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
    """Sends a batch at the ticks of a clock, or when it is full.

    The mean wait of a message is half an interval, at any rate (`rtlab.models.batching.tick_delay`).
    All clients that share a clock send at the same moment.

    Parameters
    ----------
    interval : float
        Seconds between two ticks.
    phase : float
        The time of one of the ticks, in seconds on the caller's clock.

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
    """Controls the wait so that the mean added delay approaches a target, at any message rate.

    The control law is integral and multiplicative. After a batch with the mean delay d, the
    wait T becomes ``T · exp(gain · (1 − d/target))``, limited to the range between
    ``target/100`` and ``2 · target``. With neither limit of size reached, d = T·(λT + 2)/(2(λT + 1))
    lies between T/2 (many messages) and T (one): T settles between `target` and twice that, and
    a deviation shrinks by a factor of about ``1 − gain`` per batch. If batches fill up
    earlier, d stays below the target whatever T is. The upper bound then keeps T from growing
    without limit (integral wind-up), so that no message ever waits longer than ``2 · target``.

    Parameters
    ----------
    target : float
        The mean added delay to aim for, in seconds.
    gain : float
        How strongly one batch corrects the wait, above 0 and up to 1. A larger gain adapts faster,
        and is noisier.

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
        """Return the next batch, whose wait is corrected by the delay of this batch."""
        if not batch.messages:
            return Batch(batch.wait)
        # Delay after `due` is not counted: a busy caller causes it, not the window.
        delay = batch.mean_delay(min(now, batch.due))
        wait = batch.wait * math.exp(self.gain * (1 - delay / self.target))
        return Batch(min(2 * self.target, max(self.target / 100, wait)))


def parse_window(text: str) -> SizeOrTimeout:
    """Read a window as written in URLs: a delay in seconds, optionally with messages and bytes.

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
        The text is malformed, or a value is too large; the message states the form.

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
