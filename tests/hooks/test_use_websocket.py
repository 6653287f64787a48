"""`use_websocket`: nothing lost, nothing twice, nothing left; what users of React's hook report."""

from __future__ import annotations

import asyncio
import gc

import numpy as np
import pytest
import reacton
import reacton.ipywidgets as w

from rtlab.client.event_emitter import Disconnected
from rtlab.errors import ConnectFailed, InvalidState, NotConnected
from rtlab.hooks.one_render_per_frame import FrameClock
from rtlab.hooks.use_websocket import use_websocket
from rtlab.protocol.message_format import Message
from rtlab.testing.in_memory.memory_transport import MemoryTransport
from tests.hooks.memory_links import Server, rendered
from tests.memory import turns, until, welcome

URL = "ws://server/ws"


def probe(server, seen, **options):
    """Return a component that appends what it sees in each render."""

    @reacton.component
    def Probe(url=URL):
        ws = use_websocket(url, connect=server, **options)
        seen.append(ws)
        return w.Label(value=ws.connection_status)

    return Probe


async def test_every_message_is_in_exactly_one_render_and_a_frame_has_one():
    server, seen, handled = Server(), [], []

    @reacton.component
    def Total():
        ws = use_websocket(URL, connect=server)
        seen.append(ws)
        total, set_total = reacton.use_state(0)

        def handle():
            handled.extend(message.payload for message in ws.messages)
            set_total(
                lambda n: n + len(ws.messages)
            )  # a render of its own, which must see none of them again

        reacton.use_effect(handle, [ws.frame])
        return w.Label(value=str(total))

    async with rendered(Total()) as tree:
        await until(lambda: seen[-1].connection_status == "Connected")
        before = len(seen)
        for n in range(500):
            server.made[0].push(Message("tick", n))
            server.made[0].push(Message("tick", n))  # equal neighbours are two messages
        await until(lambda: len(handled) == 1000)
        assert handled == [n // 2 for n in range(1000)]
        assert len(seen) - before <= 20
        assert seen[-1].last_message == Message("tick", 499)
        assert tree.find(w.widgets.Label).widget.value == "1000"
        assert seen[0].send_message == seen[-1].send_message


async def test_a_render_that_comes_to_nothing_takes_no_message():
    server, handled, broken = Server(), [], []

    @reacton.component
    def Fragile():
        ws = use_websocket(URL, connect=server)
        again, set_again = reacton.use_state(0)
        if ws.messages and not again:
            broken.append(len(ws.messages))
            set_again(1)  # in the middle of a render: this one is given up
        reacton.use_effect(lambda: handled.extend(ws.messages), [ws.frame])
        return w.Label()

    async with rendered(Fragile()):
        await until(lambda: bool(server.made))
        server.made[0].push(Message("tick", 1))
        await until(lambda: bool(handled))
        await turns()
    assert (broken, handled) == ([1], [Message("tick", 1)])


async def test_what_a_component_does_not_look_at_renders_nothing():
    server, all_, some, values = Server(), [], [], []
    Some = probe(server, some, share=True, filter=lambda m: m.type == "chat")
    Values = probe(server, values, share=True, select=lambda m: m.payload // 10)
    All = probe(server, all_, share=True)
    async with rendered(w.VBox(children=[All(), Some(), Values()])):
        await until(lambda: all_[-1].connection_status == some[-1].connection_status == "Connected")
        await until(lambda: values[-1].connection_status == "Connected")
        counts = len(some), len(values)
        for n in (10, 11, 12):
            server.made[0].push(Message("tick", n))
            await until(lambda n=n: all_[-1].last_message == Message("tick", n))
        await turns()
        assert (len(some) - counts[0], len(values) - counts[1]) == (0, 1)
        assert values[-1].value == 1
        assert len(server.made) == 1


def raiser(error):
    def broken(value):
        raise error

    return broken


@pytest.mark.parametrize("error", [TypeError, asyncio.CancelledError])
@pytest.mark.parametrize("name", ["filter", "select"])
async def test_a_filter_that_raises_hides_nothing_and_says_so(name, error):
    server, seen = Server(), []
    async with rendered(probe(server, seen, **{name: raiser(error)})()):
        await until(lambda: bool(server.made))
        server.made[0].push(Message("tick", 1))
        await until(lambda: seen[-1].last_message is not None)
        assert f"filter or select raised {error.__name__}" in seen[-1].error


async def test_arrays_that_select_returns_are_shown_without_an_error():
    server, seen = Server(), []
    async with rendered(probe(server, seen, select=lambda message: np.array(message.payload))()):
        await until(lambda: bool(server.made))
        for payload in ([1, 2], [3, 4]):
            server.made[0].push(Message("tick", payload))
        await until(lambda: seen[-1].last_message == Message("tick", [3, 4]))
        assert seen[-1].error is None
        assert seen[-1].value.tolist() == [3, 4]


@pytest.mark.parametrize("error", [ZeroDivisionError, asyncio.CancelledError])
async def test_a_callback_that_raises_keeps_nothing_from_the_other_components(error):
    server, first, second, heard = Server(), [], [], []
    names = ("on_open", "on_message", "on_close", "should_reconnect")
    broken = dict.fromkeys(names, raiser(error))
    hears = {name: lambda event, name=name: heard.append(name) for name in names}
    one, two = probe(server, first, share=True, **broken), probe(server, second, share=True, **hears)
    async with rendered(w.VBox(children=[one(), two()])):
        await until(lambda: "on_open" in heard)
        server.made[0].push(Message("tick", 1))
        await until(lambda: "on_message" in heard)
        await until(lambda: first[-1].last_message is not None)
        assert f"a callback of the component raised {error.__name__}" in first[-1].error
        server.made[0].drop(1012, "restart")
        await until(lambda: len(server.made) == 2 and second[-1].connection_status == "Connected")
        assert heard[:4] == ["on_open", "on_message", "should_reconnect", "on_close"]
        assert second[-1].error is None


async def test_a_callback_that_nobody_would_await_is_an_error_and_leaves_no_warning(caplog):
    async def later(value): ...

    server, seen = Server(), []
    for name in ("on_message", "filter", "should_reconnect"):
        with pytest.raises(TypeError, match=f"{name} is called and not awaited"):
            reacton.render(probe(server, seen, **{name: later})(), handle_error=False)
        async with rendered(probe(server, seen, **{name: lambda value: later(value)})()):
            await until(lambda: bool(server.made))
            server.made[-1].push(Message("tick", 1))
            await until(lambda: seen[-1].last_message is not None)
            server.made[-1].drop(1012, "restart")
            await until(lambda: "returned a coroutine" in caplog.text + str([view.error for view in seen]))
        for log in (server.made, seen, caplog):
            log.clear()
    gc.collect()  # warnings are errors: one about a coroutine that was never awaited would fail this


async def test_an_answer_that_is_neither_true_nor_false_is_an_error_and_reconnects(caplog):
    server, seen, heard = Server(), [], []
    options = {"should_reconnect": lambda event: np.array([1, 2]), "on_close": heard.append}
    async with rendered(probe(server, seen, **options)()):
        await until(lambda: seen[-1].connection_status == "Connected")
        server.made[0].drop(1012, "restart")
        await until(lambda: len(server.made) == 2 and seen[-1].connection.stats.connects == 2)
        assert [event.code for event in heard] == [1012]
        assert "a callback of the component raised ValueError" in caplog.text


async def test_a_coroutine_in_place_of_a_connection_is_told_in_the_state():
    async def connect(url, **options): ...

    seen = []
    async with rendered(probe(connect, seen)()):
        await until(lambda: seen[-1].error is not None)
        assert "connect returned a coroutine" in seen[-1].error
    gc.collect()  # warnings are errors: one about a coroutine that was never awaited would fail this


@pytest.mark.parametrize("error", [KeyError, asyncio.CancelledError])
async def test_a_connection_that_cannot_be_made_is_told_in_the_state(error):
    def broken(url, **options):
        raise error("no connection")

    seen = []
    async with rendered(probe(broken, seen)()):
        await until(lambda: seen[-1].error is not None)
    assert "no connection" in seen[-1].error
    assert seen[-1].connection_status == "Disconnected"


class Tree:
    """A component's tree that renders at its exit, as Reacton's does."""

    def __init__(self, render) -> None:
        self.tree, self.renders = self, render

    def __enter__(self): ...

    def __exit__(self, *exc_info):
        self.renders()

    def render(self):
        self.renders()


@pytest.mark.parametrize("error", [ZeroDivisionError, asyncio.CancelledError])
async def test_a_render_that_raises_takes_no_frame_from_the_others(error, caplog):
    def broken():
        raise error

    clock, rendered_ones = FrameClock(0.0), []
    clock.ask(Tree(broken))
    clock.ask(Tree(lambda: rendered_ones.append(1)))
    await until(lambda: clock.frames)
    assert rendered_ones == [1, 1]
    assert caplog.text.count(f"a render raised {error.__name__}") == 2


async def test_one_socket_for_all_who_share_and_each_hears_its_end():
    server, seen, ended = Server(), [], []
    one = probe(server, seen, share=True, on_close=lambda event: ended.append((1, event.code)))
    two = probe(server, seen, share=True, on_close=lambda event: ended.append((2, event.code)))
    async with rendered(w.VBox(children=[one(), two()])) as tree:
        await until(lambda: seen[-1].connection_status == "Connected")
        server.made[0].drop(1012, "restart")
        await until(lambda: len(server.made) == 2 and seen[-1].connection_status == "Connected")
        assert sorted(ended) == [(1, 1012), (2, 1012)]
        tree.render(w.VBox(children=[two()]))
        await turns()
        assert server.made[1].closed_with is None
        ended.clear()
    assert (len(server.made), ended) == (2, [(2, 1000)])
    assert server.made[1].closed_with == 1000


async def test_who_is_mounted_in_the_place_of_another_keeps_the_connection():
    server, seen = Server(), []
    Probe = probe(server, seen, share=True)
    async with rendered(w.VBox(children=[Probe().key("a")])) as tree:
        await until(lambda: seen[-1].connection_status == "Connected")
        tree.render(w.VBox(children=[Probe().key("b")]))
        await until(lambda: len(seen) > 3 and seen[-1].connection_status == "Connected")
    assert len(server.made) == 1


async def test_who_comes_late_to_a_shared_connection_hears_that_it_is_open():
    server, seen, opened = Server(), [], []
    Probe = probe(server, seen, share=True, on_open=opened.append)
    async with rendered(w.VBox(children=[Probe().key("a")])) as tree:
        await until(lambda: len(opened) == 1)
        tree.render(w.VBox(children=[Probe().key("a"), Probe().key("b")]))
        await until(lambda: len(opened) == 2)
        assert opened[0] == opened[1]


async def test_a_component_sends_from_on_open_and_on_the_new_connection_after_a_reconnect():
    server, views = Server(), {}

    @reacton.component
    def One(number):
        ws = use_websocket(
            URL, connect=server, share=True, on_open=lambda event: ws.send_message("hello", number)
        )
        views[number] = ws
        return w.Label()

    async with rendered(w.VBox(children=[One(1).key("1")])) as tree:
        await until(lambda: bool(server.made) and server.made[0].sent == [Message("hello", 1)])
        tree.render(w.VBox(children=[One(1).key("1"), One(2).key("2")]))  # late, on the open connection
        await until(lambda: server.made[0].sent[1:] == [Message("hello", 2)])
        server.made[0].drop(1012, "restart")
        await until(lambda: len(server.made) == 2 and len(server.made[1].sent) == 2)
        for view in views.values():
            await view.send_message("chat")
        assert [message.type for message in server.made[1].sent] == ["hello", "hello", "chat", "chat"]


@pytest.mark.parametrize("event", ["on_message", "on_open", "on_close", "on_error", "should_reconnect"])
async def test_who_is_unmounted_by_anothers_handler_hears_nothing_more(event):
    server, seen, heard = Server(), [], []

    def unmount_the_other(_):
        heard.append("first")
        tree.render(w.VBox(children=[first]))

    first = probe(server, seen, share=True, **{event: unmount_the_other})().key("1")
    second = probe(server, seen, share=True, **{event: lambda _: heard.append("second")})().key("2")
    async with rendered(w.VBox(children=[first, second])) as tree:
        await until(lambda: bool(server.made) and seen[-1].connection_status == "Connected")
        if event == "on_message":
            server.made[0].push(Message("tick", 1))
        elif event == "on_error":
            server.made[0].push(Message("error", {"message": "no"}))
        elif event in ("on_close", "should_reconnect"):
            server.made[0].drop(1012, "restart")
        await until(lambda: bool(heard))
        await turns()
        assert heard[:1] == ["first"]
        assert heard.count("second") == (1 if event == "on_close" else 0)  # its own unmounting is its close


async def test_who_is_unmounted_as_another_hears_that_the_connection_failed_hears_nothing_more():
    no = ConnectFailed("the server answered 403", status=403, retryable=False)
    server, seen, heard = Server(lambda n: MemoryTransport(fail=no)), [], []

    def unmount_the_other(_):
        heard.append("first")
        tree.render(w.VBox(children=[first]))

    first = probe(server, seen, share=True, on_error=unmount_the_other)().key("1")
    second = probe(server, seen, share=True, on_error=lambda _: heard.append("second"))().key("2")
    async with rendered(w.VBox(children=[first, second])) as tree:
        await until(lambda: bool(heard))
        await turns()
        assert heard == ["first"]


async def test_who_is_unmounted_before_a_send_fails_hears_no_error_of_it():
    server, seen, heard = Server(), [], []
    async with rendered(probe(server, seen, on_error=heard.append)()) as tree:
        await until(lambda: seen[-1].connection_status == "Connected")
        sending = seen[-1].send_message("chat", object())
        tree.render(w.VBox(children=[]))
        await asyncio.wait((sending,))
        assert sending.exception() is not None
        assert heard == []


async def test_mounted_twice_as_in_strict_mode_leaves_one_connection():
    server, seen = Server(), []
    Probe = probe(server, seen)
    async with rendered(w.VBox(children=[Probe()])) as tree:
        tree.render(w.VBox(children=[]))
        tree.render(w.VBox(children=[Probe()]))
        await until(lambda: seen[-1].connection_status == "Connected")
        await until(lambda: all(transport.aborted for transport in server.made[:-1]))
        assert not server.made[-1].aborted
    assert server.made[-1].closed_with == 1000


async def test_a_function_written_in_place_is_no_reason_to_connect_again():
    server, seen = Server(), []

    @reacton.component
    def Inline():
        seen.append(use_websocket(URL, connect=lambda url, **options: server(url, **options)))
        return w.Label()

    async with rendered(Inline()):
        await until(lambda: seen[-1].connection_status == "Connected")
        await turns()
    assert len(server.made) == 1


async def test_another_transport_begins_afresh():
    server, seen = Server(), []

    @reacton.component
    def Over(transport):
        seen.append(use_websocket(URL, transport=transport, connect=server))
        return w.Label()

    async with rendered(Over("websocket")) as tree:
        await until(lambda: seen[-1].connection_status == "Connected")
        tree.render(Over("sse"))
        await until(lambda: len(server.made) == 2 and seen[-1].connection_status == "Connected")
        assert server.made[0].closed_with == 1000


async def test_a_url_that_becomes_something_else_is_told_and_the_connection_stays_until_it_is_mended():
    server, seen = Server(), []
    Probe = probe(server, seen)
    async with rendered(Probe(URL)) as tree:
        await until(lambda: seen[-1].connection_status == "Connected")
        with pytest.raises(TypeError, match="expected a URL such as"):
            tree.render(Probe(8000))
        tree.render(Probe(URL))
        server.made[0].push(Message("tick", 1))
        await until(lambda: seen[-1].last_message == Message("tick", 1))
    assert len(server.made) == 1


async def test_sharers_with_other_options_are_told():
    server, seen = Server(), []
    one, two = probe(server, [], share=True), probe(server, seen, share=True, close_timeout=1.0)
    async with rendered(w.VBox(children=[one(), two()])):
        await until(lambda: seen[-1].error is not None)
        assert "another close_timeout" in seen[-1].error


@pytest.mark.parametrize("share", [True, False])
async def test_unmounted_while_connecting(share):
    gate = asyncio.Event()
    server, seen = Server(lambda n: MemoryTransport(welcome=welcome(), gate=gate)), []
    async with rendered(probe(server, seen, share=share)()):
        await until(lambda: bool(server.made))
    gate.set()
    await turns()
    assert len(server.made) == 1
    assert server.made[0].aborted
    assert seen[-1].connection_status in ("Disconnected", "Connecting")


async def test_another_url_begins_afresh_and_none_waits():
    server, seen = Server(), []
    Probe = probe(server, seen)
    async with rendered(Probe(None)) as tree:
        await turns()
        assert (seen[-1].connection_status, seen[-1].connection) == ("Disconnected", None)
        with pytest.raises(NotConnected, match="give use_websocket a URL"):
            await seen[-1].send_message("chat")
        tree.render(Probe("ws://a/ws"))
        await until(lambda: seen[-1].connection_status == "Connected")
        server.made[0].push(Message("tick", "of a"))
        await until(lambda: seen[-1].last_message is not None)
        tree.render(Probe("ws://b/ws"))
        assert seen[-1].last_message is None
        server.made[0].push(Message("tick", "late"))
        await until(lambda: seen[-1].connection_status == "Connected")
        await turns()
        assert seen[-1].last_message is None
        tree.render(Probe(None))
        await until(lambda: server.made[1].closed_with == 1000)
        assert seen[-1].connection_status == "Disconnected"
    assert server.urls == ["ws://a/ws", "ws://b/ws"]


async def test_a_callback_sees_the_newest_variables():
    server, said, views = Server(), [], []

    @reacton.component
    def Room(name):
        views.append(use_websocket(URL, connect=server, on_message=lambda m: said.append((name, m.payload))))
        return w.Label()

    async with rendered(Room("red")) as tree:
        await until(lambda: views[-1].connection_status == "Connected")
        tree.render(Room("blue"))
        server.made[0].push(Message("chat", 1))
        await until(lambda: bool(said))
        await views[0].send_message("chat", 2)  # an old render's function
        assert (said, server.made[0].sent) == ([("blue", 1)], [Message("chat", 2)])
    assert len(server.made) == 1


@pytest.mark.parametrize(
    ("url", "options", "error"),
    [
        (8000, {}, "expected a URL such as"),
        ("localhost:8000", {}, "a URL like ws://host/ws"),
        ("htp://me:s3cret@host/ws?token=s3cret", {}, r"got 'htp://\*\*\*@host/ws\?token=\*\*\*'"),
        ("htp://host/ws", {}, "starts with http://, https://, ws:// or wss://"),
        (b"ws://me:s3cret@host/ws", {}, r"got \*\*\*@host/ws"),
        (URL, {"transport": "carrier pigeon"}, "expected some of"),
    ],
)
async def test_bad_input_is_told_in_the_render(url, options, error):
    @reacton.component
    def Bad():
        use_websocket(url, **options)
        return w.Label()

    with pytest.raises((TypeError, ValueError), match=error):
        reacton.render(Bad(), handle_error=False)


async def test_bad_options_are_told_in_the_state():
    seen = []

    @reacton.component
    def Bad(transport, options):
        seen.append(use_websocket(URL, transport=transport, **options))
        return w.Label()

    for given, error in (
        (("websocket", {"heartbeat": 5}), "expected heartbeat"),
        (("websocket", {"no_such": 1}), "no_such"),
        (("sse", {}), "expected the server's base URL"),
    ):
        async with rendered(Bad(*given)):
            await until(lambda: seen[-1].error is not None)
        assert error in seen[-1].error
        assert seen[-1].connection_status == "Disconnected"
        seen.clear()


def test_without_a_loop_it_says_what_to_do():
    @reacton.component
    def Early():
        use_websocket(URL)
        return w.Label()

    with pytest.raises(InvalidState, match=r"asyncio\.run"):
        reacton.render(Early(), handle_error=False)


async def test_refused_for_good():
    errors, seen = [], []
    no = ConnectFailed("the server answered 403", status=403, retryable=False)
    server = Server(lambda n: MemoryTransport(fail=no))
    async with rendered(probe(server, seen, on_error=errors.append)()):
        await until(lambda: seen[-1].error is not None and seen[-1].connection_status == "Disconnected")
        assert "403" in seen[-1].error
    assert len(server.made) == 1
    assert len(errors) == 1


async def test_a_component_may_decide_not_to_come_back():
    server, seen, asked = Server(), [], []

    def wants(event: Disconnected) -> bool:
        asked.append(event.code)
        return event.code != 1012

    async with rendered(probe(server, seen, should_reconnect=wants)()):
        await until(lambda: seen[-1].connection_status == "Connected")
        server.made[0].drop(1006, "gone")
        await until(lambda: len(server.made) == 2 and seen[-1].connection.stats.connects == 2)
        server.made[1].drop(1012, "gone")
        await until(lambda: seen[-1].connection_status == "Closed")
    assert (asked, len(server.made)) == ([1006, 1012], 2)


async def test_a_click_on_another_thread_sends_on_the_connections_loop():
    server, seen = Server(), []
    async with rendered(probe(server, seen)()):
        await until(lambda: seen[-1].connection_status == "Connected")
        await asyncio.to_thread(lambda: seen[-1].send_message("chat", 1).result(10))
        assert server.made[0].sent == [Message("chat", 1)]
