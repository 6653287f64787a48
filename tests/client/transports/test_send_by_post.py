"""The way up: order, batches, bounds, and what each answer means."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator

import pytest

from rtlab.client.transports import _send_by_post
from rtlab.client.transports._http_client import HttpClient
from rtlab.client.transports._send_by_post import Upstream
from rtlab.errors import MessageError, MessageTooLarge, TransportClosed
from rtlab.protocol.message_format import Message
from rtlab.protocol.urls import parse_url
from rtlab.testing.scripted_http import ReceivedRequest, ScriptedServer, response

OK = response(200, b'{"accepted": 1}')
LIMIT = 1 << 20


class Server:
    """Answers POSTs with `answer`, each once `gate` is open."""

    def __init__(self) -> None:
        self.answer = OK
        self.gate = asyncio.Event()
        self.gate.set()
        self.arrived = asyncio.Event()
        self.under_way = self.most = 0

    async def __call__(self, request: ReceivedRequest, writer: asyncio.StreamWriter) -> bool:
        self.under_way += 1
        self.most = max(self.most, self.under_way)
        self.arrived.set()
        await self.gate.wait()
        self.under_way -= 1
        writer.write(self.answer)
        return True


class Rig:
    """An upstream to a server whose answers the test decides."""

    def __init__(self, server: ScriptedServer, script: Server) -> None:
        self.server, self.script, self.broken = server, script, 0
        self.http = HttpClient()
        self.upstream = Upstream(self.http, parse_url(server.url + "/send?session=s"), self.on_broken)

    def on_broken(self) -> None:
        self.broken += 1

    async def send(self, n: object, max_bytes: int = LIMIT) -> int:
        return await self.upstream.send(Message("chat", n), max_bytes)

    @property
    def bodies(self) -> list[list[object]]:
        """The payloads of each POST."""
        bodies = [json.loads(request.body) for request in self.server.requests]
        return [[m["payload"] for m in (body if isinstance(body, list) else [body])] for body in bodies]


@pytest.fixture
async def rig() -> AsyncIterator[Rig]:
    script = Server()
    async with ScriptedServer(script) as server:
        rig = Rig(server, script)
        yield rig
        await rig.upstream.close()
        await rig.http.close()


async def test_one_message_is_one_object(rig: Rig) -> None:
    async with asyncio.timeout(20):
        size = await rig.send({"a": "é"})
    (request,) = rig.server.requests
    assert (request.method, request.query) == ("POST", {"session": "s"})
    assert request.headers["content-type"] == b"application/json"
    assert json.loads(request.body) == {"type": "chat", "payload": {"a": "é"}}
    assert size == len(request.body)


async def test_what_piles_up_goes_together_and_in_order(rig: Rig) -> None:
    rig.script.gate.clear()
    sends = [asyncio.create_task(rig.send(n)) for n in range(50)]
    async with asyncio.timeout(20):
        await rig.script.arrived.wait()
        rig.script.gate.set()
        await asyncio.gather(*sends)
    assert rig.bodies == [[0], list(range(1, 50))] or rig.bodies == [list(range(50))]
    assert rig.script.most == 1


async def test_never_two_requests_at_once(rig: Rig) -> None:
    async def talk(k: int) -> None:
        for n in range(5):
            await rig.send([k, n])

    async with asyncio.timeout(10):
        await asyncio.gather(*(talk(k) for k in range(20)))
    assert rig.script.most == 1
    sent = [tuple(payload) for body in rig.bodies for payload in body]
    assert len(sent) == 100
    for k in range(20):
        assert [n for who, n in sent if who == k] == [0, 1, 2, 3, 4]


async def test_a_batch_has_at_most_so_many_messages(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_send_by_post, "MAX_BATCH_MESSAGES", 3)
    async with asyncio.timeout(20):
        await asyncio.gather(*(rig.send(n) for n in range(8)))
    assert [len(body) for body in rig.bodies] == [3, 3, 2]
    assert [n for body in rig.bodies for n in body] == list(range(8))


async def test_a_batch_has_at_most_so_many_bytes_but_one_message_always_goes(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = len(b'[{"type":"chat","payload":"xxxxxxxxxx"},{"type":"chat","payload":"xxxxxxxxxx"}]')
    monkeypatch.setattr(_send_by_post, "MAX_BATCH_BYTES", whole)
    async with asyncio.timeout(20):
        await asyncio.gather(*(rig.send("x" * size) for size in (10, 10, 500, 10, 11)))
    sizes = [[len(str(payload)) for payload in body] for body in rig.bodies]
    assert sizes == [[10, 10], [500], [10], [11]]


async def test_a_batch_is_never_larger_than_the_server_takes(rig: Rig) -> None:
    async with asyncio.timeout(20):
        await asyncio.gather(*(rig.send("x" * 60, 100) for _ in range(3)))
    assert [len(body) for body in rig.bodies] == [1, 1, 1]


async def test_who_sends_more_than_may_wait_waits_in_line(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    rig.upstream._slots = asyncio.Semaphore(2)
    async with asyncio.timeout(20):
        await asyncio.gather(*(rig.send(n) for n in range(7)))
    assert [n for body in rig.bodies for n in body] == list(range(7))
    assert all(len(body) <= 2 for body in rig.bodies)


async def test_a_sender_that_gives_up_withdraws_what_is_not_under_way(rig: Rig) -> None:
    rig.script.gate.clear()
    first, second, third = (asyncio.create_task(rig.send(n)) for n in range(3))
    async with asyncio.timeout(20):
        await rig.script.arrived.wait()
        fourth = asyncio.create_task(rig.send(3))
        await asyncio.sleep(0)
        fourth.cancel()
        rig.script.gate.set()
        await asyncio.gather(first, second, third)
        await rig.send(4)
    assert [n for body in rig.bodies for n in body] == [0, 1, 2, 4]


async def test_a_sender_that_gives_up_does_not_harm_the_others(rig: Rig) -> None:
    rig.script.gate.clear()
    first, second = (asyncio.create_task(rig.send(n)) for n in range(2))
    async with asyncio.timeout(20):
        await rig.script.arrived.wait()
        first.cancel()
        rig.script.gate.set()
        await second
    assert rig.broken == 0


async def test_a_message_too_large_is_refused_before_it_leaves(rig: Rig) -> None:
    with pytest.raises(MessageTooLarge):
        await rig.send("x" * 100, 50)
    assert rig.server.requests == []


@pytest.mark.parametrize(("status", "code"), [(400, "malformed"), (413, "too_large"), (422, "malformed")])
async def test_a_refused_message_is_its_senders_error_and_no_more(rig: Rig, status: int, code: str) -> None:
    rig.script.answer = response(status, b"<html>")
    async with asyncio.timeout(20):
        with pytest.raises(MessageError) as caught:
            await rig.send(1)
        assert caught.value.code == code
        rig.script.answer = OK
        await rig.send(2)
    assert rig.broken == 0


@pytest.mark.parametrize(
    ("status", "code", "again"),
    [
        (401, 1008, False),
        (403, 1008, False),
        (404, 1006, True),
        (429, 1013, True),
        (500, 1013, True),
        (302, 1013, True),
    ],
)
async def test_a_broken_path_ends_it(rig: Rig, status: int, code: int, again: bool) -> None:
    rig.script.answer = response(status, b'{"error": {"message": "why"}}', retry_after="2")
    rig.script.gate.clear()
    sends = [asyncio.create_task(rig.send(n)) for n in range(3)]
    async with asyncio.timeout(20):
        await rig.script.arrived.wait()
        sends.append(asyncio.create_task(rig.send(3)))
        await asyncio.sleep(0)
        rig.script.gate.set()
        errors = await asyncio.gather(*sends, return_exceptions=True)
    for error in errors:
        assert isinstance(error, TransportClosed)
        assert (error.code, error.reconnect, error.retry_after) == (code, again, 2.0)
        assert "why" in error.reason
    assert rig.broken == 1
    assert len(rig.server.requests) == 1  # nothing overtakes what may be lost
    with pytest.raises(TransportClosed):
        await rig.send(4)


async def test_a_server_that_hangs_up_ends_it(rig: Rig) -> None:
    rig.script.answer = b""
    rig.server._script = lambda request, writer: asyncio.sleep(0)  # closes without an answer
    async with asyncio.timeout(20):
        with pytest.raises(TransportClosed) as caught:
            await rig.send(1)
    assert caught.value.code == 1006
    assert rig.broken == 1


async def test_no_answer_in_time_ends_it(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_send_by_post, "ANSWER_TIMEOUT", 0.05)
    rig.script.gate.clear()
    with pytest.raises(TransportClosed, match=r"0\.05 s"):
        await rig.send(1)


async def test_abort_tells_all_who_wait_and_leaves_no_task(rig: Rig) -> None:
    rig.script.gate.clear()
    sends = [asyncio.create_task(rig.send(n)) for n in range(3)]
    async with asyncio.timeout(20):
        await rig.script.arrived.wait()
        rig.upstream.abort()
        rig.upstream.abort()
        errors = await asyncio.gather(*sends, return_exceptions=True)
        await rig.upstream.close()
    assert all(isinstance(error, TransportClosed) for error in errors)
    assert not [task for task in asyncio.all_tasks() if task.get_name() == "upstream"]
    assert rig.broken == 0


@pytest.mark.parametrize(
    "error", [RuntimeError("a bug"), RecursionError(), UnicodeDecodeError("utf-8", b"x", 0, 1, "")]
)
async def test_whatever_ends_the_task_those_who_wait_are_told(
    rig: Rig, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    async def broken(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(rig.http, "start", broken)
    async with asyncio.timeout(20):
        results = await asyncio.gather(*(rig.send(n) for n in range(3)), return_exceptions=True)
    assert all(isinstance(result, TransportClosed) for result in results)
    assert rig.broken == 1
    with pytest.raises(TransportClosed):
        await rig.send(4)


async def test_a_task_that_is_cancelled_before_its_first_step_leaves_nobody_waiting(rig: Rig) -> None:
    async with asyncio.timeout(20):
        send = asyncio.create_task(rig.send(1))
        await asyncio.sleep(0)
        (task,) = (task for task in asyncio.all_tasks() if task.get_name() == "upstream")
        task.cancel()
        with pytest.raises(TransportClosed, match="CancelledError"):
            await send
        assert rig.broken == 1
        with pytest.raises(TransportClosed):
            await rig.send(2)
