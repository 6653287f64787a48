"""A reducer's state outside any component: changed at once, in order, and rendered once a frame."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Final

import msgspec

from rtlab.errors import NotConnected, describe
from rtlab.hooks.reducer import Action, Reducer, WebSocketState, websocket_reducer
from rtlab.hooks.render_throttle import FrameClock, Rendered

__all__ = ["Store", "Watcher"]

_UNSEEN: Final = object()


class Watcher:
    """A component that looks at a part of a store's state.

    Parameters
    ----------
    store : Store
        Whose.
    tree, render
        As in `Rendered`.
    """

    def __init__(self, store: Store, tree: Any, render: Callable[[], object]) -> None:
        self.store = store
        self.tree = tree
        self.select: Callable[[WebSocketState], Any] = lambda state: state
        self._render = render
        self._seen: Any = _UNSEEN

    def look(self) -> Any:
        """Return what the component sees now."""
        self._seen = self.select(self.store.state)
        return self._seen

    def render(self) -> None:
        """Render the component, if what it looks at has changed."""
        if self._seen is _UNSEEN or not bool(self.select(self.store.state) == self._seen):
            self._render()


class Store:
    """Holds a state, and the actions that led to it.

    Parameters
    ----------
    clock : FrameClock
        Renders those who watch.
    reducer : callable
        ``(state, action) → state``.
    state : WebSocketState, optional
        The first.
    max_actions : int
        Actions that are kept for a replay. Older ones move into `base`.

    Attributes
    ----------
    state, base : WebSocketState
        Now, and before the oldest action that is kept: ``replay(store.actions, store.base, reducer)`` is
        `state`, errors included.
    send : callable
        Sends a message, once a provider has a connection.
    """

    def __init__(
        self,
        clock: FrameClock,
        reducer: Reducer = websocket_reducer,
        state: WebSocketState | None = None,
        *,
        max_actions: int = 1_000,
    ) -> None:
        if max_actions < 1:
            raise ValueError(f"expected max_actions >= 1, got {max_actions}")
        self.state = self.base = WebSocketState() if state is None else state
        self.reducer = reducer
        self.send: Callable[..., Any] = _no_connection
        self._clock = clock
        self._max_actions = max_actions
        self._actions: deque[tuple[Action, WebSocketState]] = deque()  # and the state behind each
        self._watchers: dict[Rendered, None] = {}

    @property
    def actions(self) -> Sequence[Action]:
        """The newest actions, oldest first."""
        return tuple(action for action, _ in self._actions)

    def dispatch(self, action: Action) -> None:
        """Apply an action. One on which the reducer raises changes nothing but the error, by an ERROR."""
        try:
            self._apply(action)
        except Exception as error:
            self.fail(f"the reducer raised {describe(error)} on {action.type}; the state is as before")

    def fail(self, text: str) -> None:
        """Say what is wrong, in the state's `error`."""
        try:
            self._apply(Action("ERROR", text))
        except Exception:  # it knows no ERROR
            self._set(msgspec.structs.replace(self.state, error=text))

    def _apply(self, action: Action) -> None:
        state = self.reducer(self.state, action)
        if not isinstance(state, WebSocketState):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise TypeError(f"it returned {state!r:.80}, and no WebSocketState")
        self._actions.append((action, state))
        if len(self._actions) > self._max_actions:
            _, self.base = self._actions.popleft()
        self._set(state)

    def watch(self, watcher: Watcher) -> Callable[[], None]:
        """Render a watcher on changes; return what ends it."""
        self._watchers[watcher] = None
        self._clock.ask(watcher)  # what changed between its render and now

        def end() -> None:
            self._watchers.pop(watcher, None)
            self._clock.forget(watcher)

        return end

    def _set(self, state: WebSocketState) -> None:
        if state is not self.state:
            self.state = state
            for watcher in self._watchers:
                self._clock.ask(watcher)


async def _no_connection(*_args: Any, **_options: Any) -> None:
    raise NotConnected("the provider has no connection yet: it is not mounted")
