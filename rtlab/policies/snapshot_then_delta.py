"""Decides when a reader that loads a snapshot and then applies deltas may show the state. No I/O.

The snapshot (the state) comes from one source, such as a database, and its changes (deltas) from
another, a room, so the two can disagree. This order leaves no gap: learn the room's position, *then*
read the state, then apply the changes after the position. A state that was read before the position
was known may lack changes that were published in between, and those would never arrive.
"""

from __future__ import annotations

from typing import Generic, TypeVar

__all__ = ["SnapshotThenDelta"]

Delta = TypeVar("Delta")


class SnapshotThenDelta(Generic[Delta]):
    """Holds changes back until a state may be shown, and refuses to go live on a gap.

    Writers must commit each change to the state *before* they publish it. Then a state that was read
    after the position was known contains all changes up to the position, and perhaps later ones. So
    either changes must be idempotent (``price = 7``, not ``price += 1``), or the state must say up to
    which offset it goes.

    Parameters
    ----------
    max_held : int
        The most changes that may wait while the state is read; with more, the oldest is lost, which
        is a gap.

    Attributes
    ----------
    live : bool
        Whether a state is shown, with every change since then applied.
    position : tuple of str and int, or None
        The epoch and the offset after which changes are applied; None until it is known.
    reading : int
        The number of the present position. A state is valid only if it was read after that position
        was known.

    Examples
    --------
    >>> reader = SnapshotThenDelta()
    >>> reader.begin("e1", 4)  # the room's position, before the state is read
    1
    >>> reader.take("e1", 5, "while it is read")
    []
    >>> reader.show(1)  # the state is here
    ['while it is read']
    >>> reader.take("e1", 6, "live")
    ['live']
    >>> reader.take("e1", 8, "one is missing"), reader.live
    ([], False)
    """

    def __init__(self, max_held: int = 10_000) -> None:
        if max_held < 1:
            raise ValueError(f"expected max_held >= 1, got {max_held}")
        self.live = False
        self.position: tuple[str, int] | None = None
        self.reading = 0
        self._max_held = max_held
        self._held: dict[tuple[str, int], Delta] = {}

    def begin(self, epoch: str, offset: int) -> int:
        """Set the room's position; the state must be read after this call.

        Parameters
        ----------
        epoch, offset : str and int
            The position of the newest published message.

        Returns
        -------
        int
            The number of this position, for `show`.
        """
        self.live = False
        self.position = epoch, offset
        self.reading += 1
        self._held = {at: delta for at, delta in self._held.items() if at[0] == epoch and at[1] > offset}
        return self.reading

    def take(self, epoch: str, offset: int, delta: Delta) -> list[Delta]:
        """Take one change; return the changes to apply now.

        Parameters
        ----------
        epoch, offset : str and int
            The change's position in the room.
        delta
            The change.

        Returns
        -------
        list
            The change; or empty while the state is not read yet, if the state contains the change,
            or if a change before it is missing. In the last case, `live` becomes False, and the
            state must be read again.
        """
        at = epoch, offset
        if self.position is None:
            self._hold(at, delta)
            return []
        if epoch == self.position[0] and offset <= self.position[1]:
            return []
        if not self.live:
            self._hold(at, delta)
            return []
        if at != (self.position[0], self.position[1] + 1):
            self.begin(epoch, offset)  # a state that is read from now on contains this change too
            return []
        self.position = at
        return [delta]

    def _hold(self, at: tuple[str, int], delta: Delta) -> None:
        self._held[at] = delta
        if len(self._held) > self._max_held:
            self._held.pop(next(iter(self._held)))

    def show(self, reading: int, offset: int | None = None) -> list[Delta] | None:
        """Decide whether a state that was read may be shown.

        Parameters
        ----------
        reading : int
            The number from `begin` that was valid when the reading began.
        offset : int or None
            The offset of the newest change in the state; None if the state does not say.

        Returns
        -------
        list or None
            The changes to apply to the state, oldest first; the reader is live now. None if the
            state may lack changes, because it is older than the position, or because changes after
            it are missing: the state must be read again, with the present `reading`.
        """
        if reading != self.reading or self.position is None:
            return None
        epoch, start = self.position
        if offset is not None and offset < start:
            return None  # for example from a replica that lags behind
        first = start if offset is None else offset
        ahead = sorted(at[1] for at in self._held if at[0] == epoch and at[1] > first)
        strangers = any(at[0] != epoch for at in self._held)
        if strangers or ahead != list(range(first + 1, first + 1 + len(ahead))):
            self.begin(*next(reversed(self._held)))  # the newest change's position
            return None
        self.position = epoch, first + len(ahead)
        deltas = [self._held[epoch, number] for number in ahead]
        self._held.clear()
        self.live = True
        return deltas
