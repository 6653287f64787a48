"""A test oracle of delivery: which messages were sent and arrived, and which guarantee was broken.

The ledger stamps each message with (sender, number), is told what each end saw, and names the
anomalies. It imports no client, server or transport, so the code that it judges cannot
influence the judgement.

An operation (the sending of one message) is *ok* (acknowledged), *failed* (the message was
certainly not accepted) or *unknown* (the message may arrive or not, and both are correct). Only an
*ok* message can be lost; only a *failed* message, or one that nobody sent, can be a phantom.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable
from enum import Enum
from typing import Final

import msgspec
import numpy as np
import pandas as pd  # pyright: ignore[reportMissingTypeStubs]
from numpy.typing import NDArray

from rtlab.errors import RtlabError
from rtlab.measure.ledger_message_stamp import MessageIdentity

__all__ = ["Anomalies", "Ledger", "MessageIdentity", "Outcome"]


_MAX_NUMBER: Final = 1 << 62


class Outcome(Enum):
    """What is known about an operation."""

    UNKNOWN = "unknown"
    OK = "ok"
    FAILED = "failed"


class Anomalies(msgspec.Struct, frozen=True):
    """What one receiver got from one sender.

    Parameters
    ----------
    receiver, sender : str
        Names of the two ends.
    sent : int
        Messages that the receiver was to get.
    ok, failed, unknown : int
        How many of them have each `Outcome`.
    received : int
        Distinct messages among them that arrived.
    lost_prefix, lost_middle, lost_postfix : int
        *Ok* messages that never arrived: before the first arrival, between two, after the last.
        If nothing arrived at all, all are *postfix*.
    gaps : int
        Runs of one or more consecutive lost messages in the middle.
    duplicates : int
        Arrivals of a message that had arrived before.
    reordered : int
        Messages whose first arrival was after that of a later message.
    late : int
        Messages that took longer than `Ledger`'s ``late_after``.
    phantoms : int
        Arrivals of messages that failed, or were never sent.
    dropped : int
        *Ok* messages that did not arrive, and were announced as dropped by a policy.
    resynced : int
        *Ok* messages that did not arrive, where a `resync` told the receiver that some are missing.
    """

    receiver: str
    sender: str
    sent: int = 0
    ok: int = 0
    failed: int = 0
    unknown: int = 0
    received: int = 0
    lost_prefix: int = 0
    lost_middle: int = 0
    lost_postfix: int = 0
    gaps: int = 0
    duplicates: int = 0
    reordered: int = 0
    late: int = 0
    phantoms: int = 0
    dropped: int = 0
    resynced: int = 0

    @property
    def lost(self) -> int:
        """All lost messages: prefix, middle and postfix."""
        return self.lost_prefix + self.lost_middle + self.lost_postfix

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the anomalies whose count is not 0; messages announced as missing are no anomaly."""
        kinds = ("lost_prefix", "lost_middle", "lost_postfix", "duplicates", "reordered", "late", "phantoms")
        return tuple(name for name in kinds if getattr(self, name))


class _Sender:
    """The operations of one sender: their outcomes and times."""

    def __init__(self) -> None:
        self.outcomes: list[Outcome] = []
        self.invoked: list[float] = []
        self.settled: list[float] = []


class _Account:
    """What one receiver saw of one sender."""

    def __init__(self, since: int) -> None:
        self.since = since
        self.numbers: list[int] = []
        self.times: list[float] = []
        self.dropped: set[int] = set()
        self.resyncs: list[int] = []  # for each resync, how many messages had arrived before it


class Ledger:
    """Notes what senders sent and receivers got, and reports the anomalies.

    Parameters
    ----------
    late_after : float
        Seconds from sending to arrival; a message that takes longer is *late*.
    clock : callable
        Monotonic seconds.

    Examples
    --------
    >>> ledger = Ledger()
    >>> ledger.watch("bob")
    >>> for _ in range(3):
    ...     ledger.ok(ledger.stamp("ada"))
    >>> for number in (0, 2, 2):
    ...     ledger.arrived("bob", MessageIdentity("ada", number))
    >>> ledger.account("bob", "ada").names
    ('lost_middle', 'duplicates')
    """

    def __init__(self, *, late_after: float = math.inf, clock: Callable[[], float] = time.monotonic) -> None:
        if not late_after > 0:
            raise ValueError(f"expected late_after > 0, in seconds, got {late_after!r}")
        self._late_after = late_after
        self._clock = clock
        self._senders: dict[str, _Sender] = {}
        self._receivers: dict[str, dict[str, int]] = {}
        self._told: set[str] = set()
        self._accounts: dict[tuple[str, str], _Account] = {}

    # The sender's end

    def stamp(self, sender: str) -> MessageIdentity:
        """Begin an operation, and return the stamp that its message must carry."""
        operations = self._senders.setdefault(sender, _Sender())
        operations.outcomes.append(Outcome.UNKNOWN)
        operations.invoked.append(self._clock())
        operations.settled.append(math.nan)
        return MessageIdentity(sender, len(operations.outcomes) - 1)

    def ok(self, stamp: MessageIdentity) -> None:
        """Note that an operation was acknowledged."""
        self._settle(stamp, Outcome.OK)

    def failed(self, stamp: MessageIdentity) -> None:
        """Note that an operation certainly did not happen. Leave one unknown that may have happened."""
        self._settle(stamp, Outcome.FAILED)

    def _settle(self, stamp: MessageIdentity, outcome: Outcome) -> None:
        operations = self._known(stamp)
        former = operations.outcomes[stamp.number]
        if former is not Outcome.UNKNOWN and former is not outcome:
            raise RtlabError(f"expected one outcome of {stamp}, got {former.value}, then {outcome.value}")
        operations.outcomes[stamp.number] = outcome
        operations.settled[stamp.number] = self._clock()

    def _known(self, stamp: MessageIdentity) -> _Sender:
        operations = self._senders.get(stamp.sender)
        if operations is None or not 0 <= stamp.number < len(operations.outcomes):
            raise RtlabError(f"expected a stamp that this ledger gave out, got {stamp}")
        return operations

    # The receiver's end

    def watch(self, receiver: str) -> None:
        """Expect that a receiver gets every message that is stamped from now on."""
        since = {name: len(operations.outcomes) for name, operations in self._senders.items()}
        self._receivers[receiver] = since

    def arrived(self, receiver: str, stamp: MessageIdentity) -> None:
        """Note an arrival, with any stamp: a message that was never sent is a phantom."""
        account = self._account(receiver, stamp.sender)
        # A faulty peer may send any number: one that does not fit 64 bits must not break the count.
        account.numbers.append(stamp.number if 0 <= stamp.number <= _MAX_NUMBER else -1)
        account.times.append(self._clock())

    def has(self, receiver: str, stamp: MessageIdentity) -> bool:
        """Whether a message has arrived."""
        return stamp.number in reversed(self._account(receiver, stamp.sender).numbers)

    def dropped(self, receiver: str, sender: str, numbers: Iterable[int]) -> None:
        """Note messages that were announced as dropped by a policy: they are missing, not lost."""
        self._account(receiver, sender).dropped.update(numbers)

    def resync(self, receiver: str) -> None:
        """Note that a receiver was told that messages may be missing before the next one."""
        self._told.add(receiver)
        for (name, _), account in self._accounts.items():
            if name == receiver:
                account.resyncs.append(len(account.numbers))

    def _account(self, receiver: str, sender: str) -> _Account:
        since = self._receivers.get(receiver)
        if since is None:
            raise RtlabError(f"expected a receiver that is watched, got {receiver!r}: call watch() first")
        key = (receiver, sender)
        account = self._accounts.get(key)
        if account is None:
            account = self._accounts[key] = _Account(since.get(sender, 0))
            account.resyncs += [0] * (receiver in self._told)
        return account

    # The report

    def account(self, receiver: str, sender: str) -> Anomalies:
        """Judge what one receiver has got from one sender so far."""
        account = self._account(receiver, sender)
        operations = self._senders.get(sender, _Sender())
        total, since = len(operations.outcomes), account.since
        ok = np.array([outcome is Outcome.OK for outcome in operations.outcomes], dtype=bool)
        failed = np.array([outcome is Outcome.FAILED for outcome in operations.outcomes], dtype=bool)

        numbers = np.array(account.numbers, dtype=np.int64)
        times = np.array(account.times)
        inside = (numbers >= 0) & (numbers < total)
        phantom = ~inside
        phantom[inside] = failed[numbers[inside]]
        # Messages sent before the watch began are not expected, and no anomaly if they arrive.
        counted = ~phantom & (numbers >= since)
        came, when = numbers[counted], times[counted]
        first, arrival = np.unique(came, return_index=True)
        in_order = came[np.sort(arrival)]

        seen = np.zeros(total, dtype=bool)
        seen[first] = True
        missing = ok & ~seen
        missing[:since] = False
        announced = np.zeros(total, dtype=bool)
        announced[[number for number in account.dropped if 0 <= number < total]] = True
        told = missing & ~announced & _told(account.resyncs, arrival, first, counted, total)
        lost: NDArray[np.int64] = np.flatnonzero(missing & ~announced & ~told)
        low, high = (int(first[0]), int(first[-1])) if len(first) else (total, -1)
        middle = lost[(lost > low) & (lost < high)]
        # A new run begins where some message arrived after the previous lost one.
        runs = (
            int(len(middle) > 0) + int(np.sum(np.add.reduceat(seen, middle)[:-1] > 0)) if len(middle) else 0
        )
        delays = when[arrival] - np.array(operations.invoked)[first] if len(first) else np.zeros(0)
        return Anomalies(
            receiver,
            sender,
            sent=total - since,
            ok=int(ok[since:].sum()),
            failed=int(failed[since:].sum()),
            unknown=int((~ok & ~failed)[since:].sum()),
            received=len(first),
            lost_prefix=int(np.sum(lost < low)) if len(first) else 0,
            lost_middle=len(middle),
            lost_postfix=int(np.sum(lost > high)),
            gaps=runs,
            duplicates=len(came) - len(first),
            reordered=int(np.sum(in_order < np.maximum.accumulate(in_order))) if len(in_order) else 0,
            late=int(np.sum(delays > self._late_after)),
            phantoms=int(phantom.sum()),
            dropped=int(np.sum(missing & announced)),
            resynced=int(told.sum()),
        )

    def accounts(self) -> list[Anomalies]:
        """Judge every receiver against every other sender, and against itself if it has such an account."""
        return [
            self.account(receiver, sender)
            for receiver in self._receivers
            for sender in self._senders
            if sender != receiver or (receiver, sender) in self._accounts
        ]

    def table(self) -> pd.DataFrame:
        """Return the report: one row for each receiver and sender, one column for each count."""
        rows = [msgspec.structs.asdict(row) | {"lost": row.lost} for row in self.accounts()]
        return pd.DataFrame(rows, columns=[*Anomalies.__struct_fields__, "lost"])

    def timeline(self) -> pd.DataFrame:
        """Return everything that was noted, in order of time.

        Returns
        -------
        pandas.DataFrame
            Columns ``time`` (seconds of the clock), ``what`` (``"sent"``, ``"ok"``, ``"failed"``
            or ``"arrived"``), ``sender``, ``number``, ``receiver`` (empty for the sender's end).
        """
        rows: list[tuple[float, str, str, int, str]] = []
        for name, operations in self._senders.items():
            rows += [(at, "sent", name, n, "") for n, at in enumerate(operations.invoked)]
            rows += [
                (at, outcome.value, name, n, "")
                for n, (outcome, at) in enumerate(zip(operations.outcomes, operations.settled, strict=True))
                if outcome is not Outcome.UNKNOWN
            ]
        for (receiver, sender), account in self._accounts.items():
            rows += [
                (at, "arrived", sender, number, receiver)
                for number, at in zip(account.numbers, account.times, strict=True)
            ]
        frame = pd.DataFrame(rows, columns=["time", "what", "sender", "number", "receiver"])
        return frame.sort_values("time", kind="stable", ignore_index=True)

    def loss_over_time(self, receiver: str, sender: str) -> pd.DataFrame:
        """Return when the messages that one receiver lost were sent.

        Returns
        -------
        pandas.DataFrame
            One row for each *ok* message. Columns ``time`` (when it was sent, seconds of the clock) and
            ``lost`` (how many messages up to this one never arrived and were not announced as
            dropped; those that a resync announced count here, too).
        """
        account = self._account(receiver, sender)
        operations = self._senders.get(sender, _Sender())
        came = set(account.numbers) | account.dropped
        expected = [
            n for n in range(account.since, len(operations.outcomes)) if operations.outcomes[n] is Outcome.OK
        ]
        return pd.DataFrame(
            {
                "time": [operations.invoked[n] for n in expected],
                "lost": np.cumsum([n not in came for n in expected], dtype=np.int64),
            }
        )


def _told(
    resyncs: list[int],
    arrival: NDArray[np.intp],
    first: NDArray[np.int64],
    counted: NDArray[np.bool_],
    total: int,
) -> NDArray[np.bool_]:
    """Return which numbers lie in a gap that a resync announced.

    Such a gap lies between the highest number that arrived before the resync and the lowest that
    arrived after it. If nothing arrived after the resync, it announced no gap.
    """
    told = np.zeros(total, dtype=bool)
    position = np.flatnonzero(counted)[arrival]  # index of each first arrival among all arrivals
    for resync in resyncs:
        before, after = first[position < resync], first[position >= resync]
        if len(after):
            told[int(before.max()) + 1 if len(before) else 0 : int(after.min())] = True
    return told
