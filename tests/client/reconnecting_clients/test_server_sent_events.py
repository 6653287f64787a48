"""Listeners by the browser's name, and streams that are silent at first."""

from __future__ import annotations

import asyncio

import pytest

from rtlab.client.connection import State
from rtlab.client.event_emitter import LOCAL_EVENTS
from rtlab.client.reconnecting_clients.server_sent_events import ServerSentEvents
from rtlab.client.transports import sse_transport
from rtlab.errors import ConnectFailed, MessageError
from rtlab.patterns.message_batcher import MessageBatcher
from rtlab.patterns.offline_message_queue import MessageQueue
from rtlab.patterns.realtime_client import RealtimeConnection
from rtlab.protocol.http_headers import PROTOCOL, PROTOCOL_FIELD
from rtlab.protocol.message_format import Message
from rtlab.testing.scripted_http import ReceivedRequest, ScriptedServer, response

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n"


def test_a_listener_that_nobody_would_await_is_refused() -> None:
    async def later(message: Message) -> None: ...

    stream = ServerSentEvents("http://127.0.0.1:9/x", plain=True)
    for name in ("error", "price"):
        with pytest.raises(TypeError, match="a listener is called and not awaited"):
            stream.add_event_listener(name, later)


@pytest.mark.parametrize("name", [*sorted(LOCAL_EVENTS), "price", "message"])
async def test_a_listener_hears_the_servers_events_of_its_name_and_nothing_else(name: str) -> None:
    async def script(request: ReceivedRequest, writer: asyncio.StreamWriter) -> None:
        writer.write(HEAD + b"event: first\ndata: x\n\n" + f"event: {name}\ndata: a\n\n".encode() * 2)
        writer.write(b"event: last\ndata: x\n\n")
        await writer.drain()
        await asyncio.sleep(20)

    heard: list[Message] = []
    once: list[Message] = []
    own: list[object] = []
    async with ScriptedServer(script) as server, asyncio.timeout(20):
        stream = ServerSentEvents(server.url + "/x", plain=True)
        stream.add_event_listener(name, heard.append)

        def first_only(message: Message) -> None:
            once.append(message)
            stream.remove_event_listener(name, first_only)

        stream.add_event_listener(name, first_only)
        stream.remove_event_listener(name, print)  # which is not there
        if name in LOCAL_EVENTS - {"*"}:
            stream.on(name, own.append)
        last = asyncio.Event()
        stream.add_event_listener("last", lambda _: last.set())
        async with stream:
            await last.wait()
    assert [(message.type, message.payload) for message in heard] == [(name, "a")] * 2
    assert [(message.type, message.payload) for message in once] == [(name, "a")]
    assert not any(isinstance(event, Message) for event in own)


WELCOME = b'{"type":"welcome","payload":{"clientId":"c","session":"s1","resumed":false,"seq":0}}'


class Stream:
    """Writes a head at once, and its events when it is told to."""

    def __init__(self, head: bytes = HEAD) -> None:
        self.head = head
        self.open: list[asyncio.StreamWriter] = []

    async def __call__(self, request: ReceivedRequest, writer: asyncio.StreamWriter) -> bool | None:
        if request.method == "POST":
            writer.write(response(200, b'{"messages":[]}', content_type="application/json"))
            return True
        if request.path.endswith("healthz"):
            writer.write(response(404))
            return True
        writer.write(self.head)
        self.open.append(writer)
        await writer.wait_closed()
        return None


@pytest.fixture
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sse_transport, "FOREIGN_AFTER", 0.05)


@pytest.mark.usefixtures("soon")
class TestAStreamThatIsSilentAtFirst:
    @pytest.mark.parametrize("comment", [b"", b": hello\n\n", b"retry: 10\n\n"])
    async def test_of_a_foreign_server_is_connected_and_its_late_events_come(self, comment: bytes) -> None:
        stream = Stream(HEAD + comment)
        async with ScriptedServer(stream) as server, asyncio.timeout(20):
            conn = ServerSentEvents(server.url + "/news", reconnect_interval=0.01)
            messages = aiter(conn)
            async with conn:
                assert (conn.state, conn.welcome) == (State.CONNECTED, None)
                with pytest.raises(MessageError, match="its welcome has not come"):
                    await conn.send("chat")
                stream.open[0].write(b'id: 7\nevent: price\ndata: {"a":1}\n\ndata: 2\n\n')
                for kind, text in (("price", '{"a":1}'), ("message", "2")):
                    message = await anext(messages)
                    assert (message.type, message.payload) == (kind, text)
                with pytest.raises(MessageError, match="only comes down"):
                    await conn.send("chat")
                stream.open[0].close()
                while len(stream.open) < 2:
                    await asyncio.sleep(0.005)
        assert server.requests[-1].headers["last-event-id"] == b"7"

    @pytest.mark.parametrize("ours", [True, False])
    async def test_keeps_messages_for_acknowledged_delivery_until_it_has_shown_whose_it_is(
        self, *, ours: bool
    ) -> None:
        """As a proxy's that drops the mark: the welcome of rtlab's server then comes later."""
        stream = Stream()
        async with ScriptedServer(stream) as server, asyncio.timeout(20):
            conn = ServerSentEvents(server.url)
            errors: list[object] = []
            conn.on("error", errors.append)
            receipts = [await conn.send("chat", n, room_id="r", delivery="at_least_once") for n in range(2)]
            async with conn:
                delivery = conn._acknowledged._deliveries["at_least_once"]
                while delivery._pause is None:  # the messages were not taken
                    await asyncio.sleep(0.005)
                assert (errors, len(delivery)) == ([], 2)
                data = WELCOME if ours else b'{"a": 1}'
                stream.open[0].write(b"event: welcome\ndata: " + data + b"\n\n")
                if not ours:
                    for receipt in receipts:
                        with pytest.raises(MessageError, match="only comes down"):
                            await receipt.acked(15)
                    return
                while not server.requests[-1].path.startswith("/send"):
                    await asyncio.sleep(0.005)
                assert (errors, conn.dead_letters) == ([], ())

    async def test_keeps_a_queues_messages_however_long_its_welcome_takes(self) -> None:
        stream = Stream()
        async with ScriptedServer(stream) as server, asyncio.timeout(20):
            conn = ServerSentEvents(server.url)
            errors: list[object] = []
            conn.on("error", errors.append)
            async with MessageQueue(conn, max_retries=1) as queue, conn:
                for room_id in ("r", None):
                    await queue.send("chat", 1, room_id=room_id)
                assert queue._link is not None
                while queue._link.delivery._generation < 8:  # so often it could not be sent
                    await asyncio.sleep(0.005)
                assert (len(queue), queue.stats.dead, errors, conn.dead_letters) == (2, 0, [], ())
                stream.open[0].write(b"event: welcome\ndata: " + WELCOME + b"\n\n")
                while not server.requests[-1].path.startswith("/send"):
                    await asyncio.sleep(0.005)
                assert (errors, conn.dead_letters) == ([], ())

    async def test_refuses_a_batch_that_nobody_sends_again(self) -> None:
        async with ScriptedServer(Stream()) as server, asyncio.timeout(20):
            conn = ServerSentEvents(server.url)
            errors: list[object] = []
            conn.on("error", errors.append)
            async with conn, MessageBatcher(conn) as batcher:
                receipt = await batcher.send("chat", 1)
                with pytest.raises(MessageError, match="has not come"):
                    await receipt.acked(5)
            assert (len(errors), len(conn.dead_letters)) == (1, 1)

    async def test_and_ends_silently_is_requested_again(self) -> None:
        stream = Stream()
        async with (
            ScriptedServer(stream) as server,
            asyncio.timeout(20),
            ServerSentEvents(server.url + "/news", reconnect_interval=0.01) as conn,
        ):
            stream.open[0].close()
            while conn.stats.connects < 2:
                await asyncio.sleep(0.005)

    async def test_is_no_connection_if_it_is_an_rtlab_servers_whose_welcome_is_held_back(self) -> None:
        marked = HEAD.replace(b"\r\n\r\n", f"\r\n{PROTOCOL_FIELD.lower()}: {PROTOCOL}\r\n\r\n".encode())
        async with ScriptedServer(Stream(marked)) as server, asyncio.timeout(20):
            for conn in (
                ServerSentEvents(server.url, connect_timeout=0.5, max_reconnect_attempts=0),
                RealtimeConnection(server.url, transports=["sse"], deadline=0.5, max_reconnect_attempts=0),
            ):
                with pytest.raises(ConnectFailed, match=r"within 0\.5 s"):
                    await conn.connect()
                await conn.close()

    async def test_of_a_foreign_server_works_in_a_fallback(self) -> None:
        async with (
            ScriptedServer(Stream()) as server,
            asyncio.timeout(20),
            RealtimeConnection(server.url, transports=["sse"], deadline=5) as conn,
        ):
            assert (conn.transport, conn.welcome) == ("sse", None)

    async def test_may_be_an_rtlab_servers_behind_a_proxy_that_drops_unknown_fields(self) -> None:
        stream = Stream()
        async with (
            ScriptedServer(stream) as server,
            asyncio.timeout(20),
            ServerSentEvents(server.url) as conn,
        ):
            assert conn.welcome is None
            stream.open[0].write(b"event: welcome\nid: s1.0\ndata: " + WELCOME + b"\n\n")
            while conn.welcome is None:
                await asyncio.sleep(0.005)
            await conn.send("chat", 1)
        assert server.requests[-1].query["session"] == "s1"

    @pytest.mark.parametrize("how", ["close", "abort"])
    async def test_leaves_nothing_however_it_ends(self, how: str) -> None:
        async with ScriptedServer(Stream()) as server, asyncio.timeout(20):
            before = asyncio.all_tasks()
            transport = sse_transport.SseTransport(server.url)
            assert await transport.open(sse_transport.Resume()) is None
            if how == "close":
                await transport.close()
            else:
                transport.abort()
            with pytest.raises(sse_transport.TransportClosed):
                await transport.receive()
            opening = asyncio.ensure_future(
                sse_transport.SseTransport(server.url).open(sse_transport.Resume())
            )
            await asyncio.sleep(0.02)
            opening.cancel()
            await asyncio.wait((opening,))
            while {task for task in asyncio.all_tasks() - before if "_serve" not in repr(task)}:
                await asyncio.sleep(0)
