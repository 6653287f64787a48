"""The provider: state by allow-listed actions, replayed, rendered once a frame and only where looked at."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest
import reacton
import reacton.ipywidgets as w

from rtlab.errors import ConnectFailed, InvalidState
from rtlab.hooks.one_render_per_frame import FrameClock
from rtlab.hooks.provider import WebSocketProvider, use_websocket_context
from rtlab.hooks.state_store_and_watchers import Store, Watcher
from rtlab.hooks.subscription import Subscription
from rtlab.hooks.websocket_reducer import Action, WebSocketState, replay, websocket_reducer
from rtlab.protocol.message_format import Message
from rtlab.testing.in_memory.memory_transport import MemoryTransport
from tests.hooks.memory_links import Server, rendered
from tests.memory import room_server, turns, until, welcome

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


@pytest.mark.parametrize("error", [KeyError, asyncio.CancelledError])
async def test_a_reducer_that_raises_changes_nothing_and_says_so(error):
    server, seen = Server(), []

    def mine(state, action):
        if action.type == "MESSAGE_RECEIVED" and action.payload.payload == "bad":
            raise error("no such field")
        return websocket_reducer(state, action)

    async with rendered(WebSocketProvider(URL, [watcher(seen)], connect=server, reducer=mine)):
        await until(lambda: seen[-1].is_connected)
        for payload in ("good", "bad", "good"):
            server.made[0].push(Message("chat", payload))
        await until(lambda: len(seen[-1].messages) == 2)
        assert seen[-1].is_connected
        assert error.__name__ in seen[-1].error
        assert "MESSAGE_RECEIVED" in seen[-1].error
        store = seen[-1].store
        assert replay(store.actions, store.base, mine) == store.state  # the error is replayed too


@pytest.mark.parametrize(
    "broken", [lambda state, action: 1 / 0, lambda state, action: None], ids=["raises", "no state"]
)
async def test_an_error_that_the_reducer_does_not_handle_is_set_and_replayed_all_the_same(broken):
    store = Store(FrameClock(), broken)
    store.fail("what is wrong")
    assert store.state.error == "what is wrong"
    assert replay(store.actions, store.base, broken) == store.state
    store.dispatch(Action("CONNECT"))
    assert "on CONNECT" in store.state.error
    assert [action.type for action in store.actions] == ["ERROR", "ERROR"]
    assert replay(store.actions, store.base, broken) == store.state
    with pytest.raises((ZeroDivisionError, TypeError)):
        replay([Action("CONNECT")], None, broken)


def room_names(transport):
    return [(m.type, m.payload["roomId"]) for m in transport.sent if m.type in ("join_room", "leave_room")]


def rooms():
    """A server whose connections answer `join_room`."""
    return Server(lambda n: room_server(lambda p: {"roomId": p["roomId"]}, welcome=welcome(f"s{n}")))


async def test_a_provider_that_comes_late_to_a_shared_connection_is_connected_and_leaves_only_its_own_room():
    server, seen, late = rooms(), [], []
    first = WebSocketProvider(URL, [watcher(seen)], connect=server, share=True, room_id="a").key("1")

    def second(room):
        return WebSocketProvider(URL, [watcher(late)], connect=server, share=True, room_id=room).key(room)

    async with rendered(w.VBox(children=[first])) as tree:
        await until(lambda: seen[-1].is_connected)
        tree.render(w.VBox(children=[first, second("a")]))
        await until(lambda: bool(late) and late[-1].is_connected)
        tree.render(w.VBox(children=[first, second("b")]))
        await until(lambda: late[-1].is_connected and room_names(server.made[0])[-1] == ("join_room", "b"))
        tree.render(w.VBox(children=[first]))
        await until(lambda: room_names(server.made[0])[-1] == ("leave_room", "b"))
    assert len(server.made) == 1
    assert ("leave_room", "a") not in room_names(server.made[0])


async def test_the_room_is_entered_though_the_first_connect_failed_and_another_room_begins_afresh():
    good = rooms()
    server, seen = (
        Server(lambda n: good._make(n) if n else MemoryTransport(fail=ConnectFailed("not yet"))),
        [],
    )

    def provider(room):
        return WebSocketProvider(
            URL, [watcher(seen)], connect=server, room_id=room, options={"retry_initial": True}
        )

    async with rendered(provider("a")) as tree:
        await until(lambda: bool(server.made[1:]) and room_names(server.made[1]) == [("join_room", "a")])
        tree.render(provider("b"))
        await until(lambda: bool(server.made[2:]) and room_names(server.made[2]) == [("join_room", "b")])
        await until(lambda: seen[-1].is_connected)
        assert server.made[1].closed_with == 1000


async def test_without_a_provider_it_says_what_to_do():
    with pytest.raises(InvalidState, match="put the component into its children"):
        reacton.render(watcher([]), handle_error=False)
    await turns()


@pytest.mark.parametrize(
    ("action", "other"),
    [
        (Action("CONNECT"), Action("DISCONNECT")),
        (Action("DISCONNECT", "restart"), Action("DISCONNECT", "closed with 1006")),
        (Action("DISCONNECT"), Action("CONNECT")),
        (Action("ERROR", "what is wrong"), Action("ERROR", "another")),
        (Action("USERS_UPDATE", ["ada", "bob"]), Action("USERS_UPDATE", ["ada"])),
    ],
)
def test_an_action_that_changes_nothing_returns_the_same_state(action, other):
    once = websocket_reducer(WebSocketState(), action)
    assert websocket_reducer(once, action) is once
    assert websocket_reducer(once, other) != once


def test_a_message_always_changes_the_state():
    said = Action("MESSAGE_RECEIVED", Message("chat", "hi"))
    once = websocket_reducer(WebSocketState(max_messages=1), said)
    assert websocket_reducer(once, said) is not once


def test_an_unknown_action_is_refused():
    with pytest.raises(ValueError, match="expected an action out of CONNECT"):
        websocket_reducer(None, type("Forged", (), {"type": "__init__"})())


async def test_a_provider_keeps_no_message_for_a_render_that_never_comes(monkeypatch):
    server, seen, made = Server(), [], []
    monkeypatch.setattr(
        "rtlab.hooks.use_websocket.Subscription",
        lambda *args, **options: made.append(Subscription(*args, **options)) or made[-1],
    )
    async with rendered(WebSocketProvider(URL, [watcher(seen)], connect=server, max_messages=10)):
        await until(lambda: seen[-1].is_connected)
        for n in range(50):
            server.made[0].push(Message("chat", n))
        await until(lambda: seen[-1].messages and seen[-1].messages[-1].payload == 49)
        assert made[-1].feed.taken == 50
        assert made[-1].feed.pending() == ()


def dispatch_inside_a_loop(store, action):
    async def dispatch():
        store.dispatch(action)

    asyncio.run(dispatch())


def dispatch_without_a_loop(store, action):
    store.dispatch(action)


@pytest.mark.parametrize("click", [dispatch_inside_a_loop, dispatch_without_a_loop])
async def test_a_click_on_another_thread_renders_on_the_connections_loop(click):
    server, seen = Server(), []
    async with rendered(WebSocketProvider(URL, [watcher(seen)], connect=server)):
        await until(lambda: seen[-1].is_connected)
        await asyncio.to_thread(click, seen[-1].store, Action("USERS_UPDATE", ["ada"]))
        await until(lambda: seen[-1].active_users == ("ada",))
        server.made[0].push(Message("chat", "and the next"))
        await until(lambda: bool(seen[-1].messages))


@pytest.mark.parametrize("error", [KeyError, asyncio.CancelledError])
async def test_a_filter_that_raises_hides_nothing_and_the_state_says_so(error):
    server, seen = Server(), []

    def broken(message):
        raise error("no such field")

    async with rendered(WebSocketProvider(URL, [watcher(seen)], connect=server, filter=broken)):
        await until(lambda: seen[-1].is_connected)
        server.made[0].push(Message("chat", 1))
        await until(lambda: bool(seen[-1].messages))
        assert f"filter raised {error.__name__}" in seen[-1].error


async def test_a_filter_whose_answer_has_no_truth_value_hides_nothing_and_the_state_says_so():
    server, seen = Server(), []
    arrays = {"filter": lambda message: np.zeros(2)}
    async with rendered(WebSocketProvider(URL, [watcher(seen)], connect=server, **arrays)):
        await until(lambda: seen[-1].is_connected)
        server.made[0].push(Message("chat", 1))
        await until(lambda: bool(seen[-1].messages))
        assert "filter raised ValueError" in seen[-1].error


async def test_a_coroutine_function_as_filter_is_refused_in_the_render():
    async def never_awaited(message):
        return True

    with pytest.raises(TypeError, match="filter is called and not awaited"):
        reacton.render(WebSocketProvider(URL, [], connect=Server(), filter=never_awaited), handle_error=False)
    await turns()


async def test_an_error_without_a_text_is_told_by_its_name():
    def broken(url, **options):
        raise ValueError

    seen = []
    async with rendered(WebSocketProvider(URL, [watcher(seen)], connect=broken)):
        await until(lambda: seen[-1].error is not None)
        assert seen[-1].error == "ValueError()"


async def test_a_close_without_a_reason_is_told_by_its_code():
    server, seen = Server(), []
    options = {"max_reconnect_attempts": 0}
    async with rendered(WebSocketProvider(URL, [watcher(seen)], connect=server, options=options)):
        await until(lambda: seen[-1].is_connected)
        server.made[0].drop(4001, "")
        await until(lambda: seen[-1].error is not None)
        await turns()
        assert seen[-1].error == "closed with 4001"


async def test_a_selected_array_renders_and_one_that_stays_the_same_object_does_not():
    clock, renders = FrameClock(), []
    store, kept = Store(clock), np.zeros(2)
    one = Watcher(store, None, lambda: renders.append(1))
    one.select = lambda state: kept
    one.look()
    one.render()
    assert renders == []
    one.select = lambda state: np.zeros(
        2
    )  # two arrays have no single answer to ==, so they count as different
    one.render()
    assert renders == [1]


async def test_a_select_that_raises_is_rendered_so_that_the_component_shows_it():
    renders = []
    one = Watcher(Store(FrameClock()), None, lambda: renders.append(1))
    one.look()
    one.select = lambda state: state.no_such_field
    one.render()
    assert renders == [1]


@pytest.mark.parametrize("max_messages", [0, -1])
def test_a_state_that_keeps_no_message_is_refused(max_messages):
    with pytest.raises(ValueError, match=f"max_messages >= 1, got {max_messages}"):
        WebSocketState(max_messages=max_messages)
