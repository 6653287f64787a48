"""When a reader that loads a state and then follows its changes may show them. Pure.

The state comes from one place (a database, say) and its changes from another (a room), so the
two can disagree. The order that leaves no gap: learn the room's position, *then* read the
state, then apply what came after the position. A state that was read before the position was
known may lack what was published in between, and nothing would ever bring it.
"""

from __future__ import annotations

from typing import Generic, TypeVar

__all__ = ["SnapshotThenDelta"]

Delta = TypeVar("Delta")


class SnapshotThenDelta(Generic[Delta]):
    """Holds changes back until a state may be shown, and refuses to go live on a gap.

    Every change is in the state *before* it is published: whoever writes commits first. Then a
    state that was read after the position holds all up to it, and perhaps more: changes that
    come again must do no harm (``price = 7``, not ``price += 1``), or the state says itself
    up to which offset it goes.

    Parameters
    ----------
    max_held : int
        Changes that may wait while the state is read; more are a gap.

    Attributes
    ----------
    live : bool
        Whether a state is shown, and every change since applied.
    position : tuple of str and int, or None
        Epoch and offset after which changes count; None before it is known.
    reading : int
        Number of the position that is valid now: the state has to be read after it was known.

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
        """Note the room's position; the state has to be read from now on.

        Parameters
        ----------
        epoch, offset : str and int
            Of the newest message that was published.

        Returns
        -------
        int
            For `show`: names this position.
        """
        self.live = False
        self.position = epoch, offset
        self.reading += 1
        self._held = {at: delta for at, delta in self._held.items() if at[0] == epoch and at[1] > offset}
        return self.reading

    def take(self, epoch: str, offset: int, delta: Delta) -> list[Delta]:
        """Take one change; return what to apply now.

        Parameters
        ----------
        epoch, offset : str and int
            Where it stands in the room.
        delta
            The change.

        Returns
        -------
        list
            Empty while the state is not here, for what the state holds, and when something is
            missing before it: then `live` is False, and a position is needed again.
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
            self.begin(epoch, offset)  # a state that is read now holds this one too
            return []
        self.position = at
        return [delta]

    def _hold(self, at: tuple[str, int], delta: Delta) -> None:
        self._held[at] = delta
        if len(self._held) > self._max_held:
            self._held.pop(next(iter(self._held)))

    def show(self, reading: int, offset: int | None = None) -> list[Delta] | None:
        """Decide about a state that was read.

        Parameters
        ----------
        reading : int
            From `begin`: the position that was valid when the reading began.
        offset : int or None
            The newest change that the state holds, if it says so.

        Returns
        -------
        list or None
            What to apply on top, oldest first: the reader is live. None when this state may lack
            something (it is older than the position, or changes are missing after it): the
            state must be read again, with `reading` as it is now.
        """
        if reading != self.reading or self.position is None:
            return None
        epoch, start = self.position
        if offset is not None and offset < start:
            return None  # from a replica that lags, say
        first = start if offset is None else offset
        ahead = sorted(at[1] for at in self._held if at[0] == epoch and at[1] > first)
        strangers = any(at[0] != epoch for at in self._held)
        if strangers or ahead != list(range(first + 1, first + 1 + len(ahead))):
            self.begin(*next(reversed(self._held)))  # what came last, in another epoch or behind a gap
            return None
        self.position = epoch, first + len(ahead)
        deltas = [self._held[epoch, number] for number in ahead]
        self._held.clear()
        self.live = True
        return deltas
