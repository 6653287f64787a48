"""The provider: state by allow-listed actions, replayed, rendered once a frame and only where looked at."""

from __future__ import annotations

import pytest
import reacton
import reacton.ipywidgets as w

from rtlab.errors import InvalidState
from rtlab.hooks.provider import WebSocketProvider, use_websocket_context
from rtlab.hooks.reducer import replay, websocket_reducer
from rtlab.protocol.messages import Message
from tests.hooks.memory_links import Server, rendered
from tests.memory import turns, until

URL = "ws://server/ws"


def watcher(seen, select=None):
    @reacton.component
    def Watcher():
        seen.append(use_websocket_context(select))
        return w.Label()

    return Watcher()


async def test_the_wire_never_names_an_action_and_the_state_can_be_replayed():
    server, seen, users = Server(), [], []
    tree = WebSocketProvider(
        URL,
        [watcher(seen), watcher(users, lambda state: state.active_users)],
        connect=server,
        max_messages=10,
        max_actions=20,
    )
    async with rendered(tree):
        await until(lambda: seen[-1].is_connected)
        renders = len(seen), len(users)
        for name in ("disconnect", "DISCONNECT", "connect", "__class__"):
            server.made[0].push(Message(name, {"isConnected": False}))
        for n in range(200):
            server.made[0].push(Message("chat", n))
        server.made[0].push(Message("users_update", ["ada", {"no": "name"}, "bob"]))
        await until(lambda: bool(users[-1].value))
        await until(lambda: len(seen[-1].messages) == 10 and seen[-1].active_users)
        assert seen[-1].is_connected
        assert seen[-1].active_users == ("ada", "bob")
        assert [message.payload for message in seen[-1].messages] == [*range(190, 200)]
        assert len(seen) - renders[0] <= 10
        assert len(users) - renders[1] == 1
        store = seen[-1].store
        assert len(store.actions) == 20
        assert replay(store.actions, store.base) == store.state
        server.made[0].drop(1012, "restart")
        await until(lambda: len(server.made) == 2 and seen[-1].is_connected)
        kinds = [action.type for action in store.actions][-2:]
        assert kinds == ["DISCONNECT", "CONNECT"]
        await seen[0].send_message("chat", "hi")
        assert server.made[1].sent == [Message("chat", "hi")]


async def test_a_reducer_that_raises_changes_nothing_and_says_so():
    server, seen = Server(), []

    def mine(state, action):
        if action.type == "MESSAGE_RECEIVED" and action.payload.payload == "bad":
            raise KeyError("no such field")
        return websocket_reducer(state, action)

    async with rendered(WebSocketProvider(URL, [watcher(seen)], connect=server, reducer=mine)):
        await until(lambda: seen[-1].is_connected)
        for payload in ("good", "bad", "good"):
            server.made[0].push(Message("chat", payload))
        await until(lambda: len(seen[-1].messages) == 2)
        assert seen[-1].is_connected
        assert "KeyError" in seen[-1].error
        assert "MESSAGE_RECEIVED" in seen[-1].error


async def test_without_a_provider_it_says_what_to_do():
    with pytest.raises(InvalidState, match="put the component into its children"):
        reacton.render(watcher([]), handle_error=False)
    await turns()


def test_an_unknown_action_is_refused():
    with pytest.raises(ValueError, match="expected an action out of CONNECT"):
        websocket_reducer(None, type("Forged", (), {"type": "__init__"})())
