"""Holds a reducer's state outside any component: actions apply at once, renders follow once per frame."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Final

from rtlab.client.user_callback_errors import call
from rtlab.errors import NotConnected, describe
from rtlab.hooks.one_render_per_frame import FrameClock, Rendered
from rtlab.hooks.unrendered_messages import same
from rtlab.hooks.websocket_reducer import Action, Reducer, WebSocketState, reduced, websocket_reducer

__all__ = ["Store", "Watcher"]

_UNSEEN: Final = object()


class Watcher:
    """Renders a component when the part of a store's state that it selects has changed.

    Parameters
    ----------
    store : Store
        The store to watch.
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
        """Return the selected part of the state, and remember it as rendered."""
        self._seen = self.select(self.store.state)
        return self._seen

    def render(self) -> None:
        """Render the component if the selected part has changed since `look`, or ``select`` raises."""
        part, error = call(self.select, self.store.state)
        if error is not None or not same(part, self._seen):  # the render shows what `select` raises
            self._render()


class Store:
    """Holds a state, and the actions that led to it.

    Parameters
    ----------
    clock : FrameClock
        Schedules the renders of the watchers.
    reducer : callable
        ``(state, action) → state``.
    state : WebSocketState, optional
        The first state; None: a new `WebSocketState`.
    max_actions : int
        How many actions are kept for a replay. `base` already contains the effect of older ones.

    Attributes
    ----------
    state, base : WebSocketState
        The current state, and the state before the oldest kept action: ``replay(store.actions, store.base,
        reducer)`` returns `state`, errors included.
    send : callable
        Sends a message over the provider's connection; raises `NotConnected` before the provider is mounted.
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
        self._actions: deque[tuple[Action, WebSocketState]] = deque()  # each with the state after it
        self._watchers: dict[Rendered, None] = {}

    @property
    def actions(self) -> Sequence[Action]:
        """The newest actions, oldest first."""
        return tuple(action for action, _ in self._actions)

    def dispatch(self, action: Action) -> None:
        """Apply an action. If the reducer raises, an ERROR action sets the state's `error` instead."""
        _, error = call(self._apply, action)
        if error is not None:
            self.fail(f"the reducer raised {describe(error)} on {action.type}; the state is as before")

    def fail(self, text: str) -> None:
        """Set the state's `error` to this text, by an ERROR action."""
        self._apply(Action("ERROR", text))

    def _apply(self, action: Action) -> None:
        state = reduced(self.reducer, self.state, action)
        self._actions.append((action, state))
        if len(self._actions) > self._max_actions:
            _, self.base = self._actions.popleft()
        self._set(state)

    def watch(self, watcher: Watcher) -> Callable[[], None]:
        """Render a watcher whenever the state changes; return a function that ends this."""
        self._watchers[watcher] = None
        self._clock.ask(watcher)  # the state may have changed since the component rendered

        def end() -> None:
            self._watchers.pop(watcher, None)
            self._clock.forget(watcher)

        return end

    def _set(self, state: WebSocketState) -> None:
        if state is not self.state:
            self.state = state
            for watcher in tuple(self._watchers):  # another thread may mount a component meanwhile
                self._clock.ask(watcher)


async def _no_connection(*_args: Any, **_options: Any) -> None:
    raise NotConnected("the provider has no connection yet: it is not mounted")
