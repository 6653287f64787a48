"""Calls between two clients: signalled by the real server, then without it."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import threading
from collections.abc import AsyncIterator, Callable
from typing import Any

import aioice.ice
import pytest
from aiortc.rtcsctptransport import WEBRTC_DCEP

from rtlab.client.event_emitter import Emitter
from rtlab.client.p2p.audio_tracks import ToneTrack
from rtlab.client.p2p.call_setup_signalling import SIGNAL, Peer
from rtlab.errors import ConnectFailed, TransportClosed
from rtlab.protocol.message_format import Message
from rtlab.webrtc.loopback_ice import LoopbackPeerConnection


class Room:
    """What the server's room does, without a server: everyone gets everything, oneself included."""

    def __init__(self) -> None:
        self.members: list[Member] = []
        self.log: list[Message] = []


class Member(Emitter):
    def __init__(self, room: Room, client_id: str | None = None) -> None:
        super().__init__()
        self.room = room
        self.client_id = client_id
        room.members.append(self)

    async def send(
        self, type: str, payload: Any = None, *, room_id: str | None = None, id: str | None = None
    ) -> None:
        self.say(type, payload, room_id)

    def say(self, type: str, payload: Any, room_id: str | None = "r") -> None:
        message = Message(type, payload, room_id=room_id, client_id=self.client_id)
        self.room.log.append(message)
        for member in self.room.members:
            member.emit(type, message)


@contextlib.asynccontextmanager
async def calling(**options: Any) -> AsyncIterator[tuple[Any, Any]]:
    room = Room()
    async with Peer(Member(room), "r", **options) as alice, Peer(Member(room), "r", **options) as bob:
        ours, theirs = await asyncio.gather(alice.call(), bob.accept())
        assert (ours.remote, theirs.remote) == (bob.name, alice.name)
        async with theirs, ours:
            yield ours, theirs


async def until(condition: Callable[[], bool], seconds: float = 20.0) -> None:
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.005)


async def test_messages_go_both_ways_in_order() -> None:
    async with calling() as (ours, theirs):
        for n in range(200):
            await ours.send("n", n)
        await theirs.send("hello", {"text": "grüß"})
        assert [(await theirs.receive()).payload for _ in range(200)] == list(range(200))
        assert (await ours.receive()).payload == {"text": "grüß"}
        assert await ours.ping() > 0


async def test_hanging_up_ends_the_other_side_after_its_messages() -> None:
    async with calling() as (ours, theirs):
        await ours.send("last", 1)
        closing = asyncio.ensure_future(ours.close())
        assert (await theirs.receive()).payload == 1
        with pytest.raises(TransportClosed, match="hung up"):
            await theirs.receive()
        await closing


@pytest.mark.parametrize("sound", [False, True], ids=["messages", "sound"])
async def test_a_peer_that_vanishes_ends_the_call(monkeypatch: pytest.MonkeyPatch, sound: bool) -> None:
    """No goodbye, no server to ask: ICE's consent (RFC 7675) is what notices."""
    problems: list[Any] = []
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: problems.append(context))
    monkeypatch.setattr(aioice.ice, "CONSENT_INTERVAL", 0.05)
    monkeypatch.setattr(aioice.ice, "CONSENT_FAILURES", 2)
    options: dict[str, Any] = {"audio": ToneTrack} if sound else {}
    async with asyncio.timeout(10), calling(**options) as (ours, theirs):
        if sound:
            await until(lambda: ours.frames_heard > 3)
        await theirs.send("last", 1)
        assert (await ours.receive()).payload == 1
        waiting = asyncio.ensure_future(ours.receive())
        await asyncio.sleep(0)
        for ice in theirs._peer_connection._ice_transports():
            for protocol in ice._connection._protocols:
                protocol.transport.abort()
        with pytest.raises(TransportClosed) as caught:
            await waiting
        assert (caught.value.code, caught.value.clean) == (1006, False)
        with pytest.raises(TransportClosed):
            await ours.send("into the void")
        heard = ours.frames_heard
        await ours.close()
        assert ours.frames_heard - heard < 25
    assert asyncio.all_tasks() == {asyncio.current_task()}
    gc.collect()  # a task that failed unseen complains when it is collected
    assert problems == []


async def test_the_server_signals_and_then_carries_nothing() -> None:
    from rtlab.client.reconnecting_clients.webrtc_channel import WebRTCChannel
    from rtlab.client.reconnecting_clients.websocket_connection import WebSocketConnection
    from rtlab.server.aiohttp_app_and_routes import Server
    from rtlab.server.node import Node
    from rtlab.server.server_options import Options

    server = Server(Node(Options(token="t", stop_window=0.0)))
    await server.start()
    try:
        # Any two transports will do for the signalling.
        async with (
            WebSocketConnection(f"ws://127.0.0.1:{server.port}/ws") as one,
            WebRTCChannel(f"http://127.0.0.1:{server.port}") as two,
        ):
            await one.join_room("lobby")
            await two.join_room("lobby")
            async with Peer(one, "lobby") as alice, Peer(two, "lobby") as bob:
                ours, theirs = await asyncio.gather(alice.call(bob.name), bob.accept())
                async with ours, theirs:
                    before = server.node.ingress.received
                    for n in range(20):
                        await ours.send("direct", n)
                    assert [(await theirs.receive()).payload for _ in range(20)] == list(range(20))
                    assert server.node.ingress.received == before
                    await server.stop()
                    await ours.send("direct", "still here")
                    assert (await theirs.receive()).payload == "still here"
    finally:
        await server.stop()


async def test_only_loopback_and_only_the_room() -> None:
    room = Room()
    stranger = Member(room)
    async with Peer(Member(room), "r") as alice, Peer(Member(room), "other") as outside:
        with pytest.raises(ConnectFailed, match="nobody in room 'r' answered"):
            await alice.call(timeout=1.0)
        assert outside._offers.empty()
    sdp = room.log[0].payload["sdp"]
    assert all(line.split()[4] == "127.0.0.1" for line in sdp.splitlines() if "candidate:" in line)
    assert SIGNAL not in stranger.names


async def test_a_caller_whose_channel_has_a_malformed_label_is_turned_away(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """At once, and not by a traceback in the task that receives all packets."""
    create = LoopbackPeerConnection.createDataChannel

    def with_label(self: LoopbackPeerConnection, label: str, **options: Any) -> Any:
        channel = create(self, "x", **options)
        sctp: Any = self.sctp
        send = sctp._send

        async def malformed(stream: int, kind: int, data: bytes, *more: Any, **others: Any) -> None:
            await send(stream, kind, data[:12] + b"\xff" if kind == WEBRTC_DCEP else data, *more, **others)

        sctp._send = malformed
        return channel

    monkeypatch.setattr(LoopbackPeerConnection, "createDataChannel", with_label)
    room = Room()
    async with Peer(Member(room), "r") as alice, Peer(Member(room), "r") as bob:
        calling = asyncio.create_task(alice.call(timeout=30))
        with pytest.raises(ConnectFailed, match="channel is malformed"):
            await bob.accept(timeout=30)
        with pytest.raises(ConnectFailed):
            await calling
    assert [record.getMessage() for record in caplog.records if record.levelname != "INFO"] == []


async def test_nonsense_in_the_room_is_ignored() -> None:
    room = Room()
    anybody = Member(room)
    async with Peer(Member(room), "r") as bob:
        for payload in (None, 1, {}, {"kind": "offer"}, {"kind": "x", "call": "1", "from": "a", "sdp": ""}):
            await anybody.send(SIGNAL, payload, room_id="r")
        assert bob._offers.empty()
        await anybody.send(SIGNAL, {"kind": "offer", "call": "1", "from": "a", "sdp": "v=0"}, room_id="r")
        with pytest.raises(ConnectFailed):
            await bob.accept(timeout=0.3)
        with pytest.raises(ConnectFailed, match="nobody called"):
            await bob.accept(timeout=0.05)


async def test_a_call_can_name_whom_it_is_for() -> None:
    room = Room()
    async with Peer(Member(room), "r") as a, Peer(Member(room), "r") as b, Peer(Member(room), "r") as c:
        ours, theirs = await asyncio.gather(a.call(c.name), c.accept())
        assert b._offers.empty()
        await ours.close()
        await theirs.close()


def answers_every_call(member: Member, name: Callable[[dict[str, Any]], str]) -> list[str]:
    """Let a member of the room answer each offer under a name of its own; return the names that it used."""
    used: list[str] = []

    def answer(message: Message) -> None:
        signal = message.payload
        if signal["kind"] == "offer":
            used.append(name(signal))
            lie = {
                "kind": "answer",
                "call": signal["call"],
                "from": used[-1],
                "to": signal["from"],
                "sdp": "v=0",
            }
            asyncio.get_running_loop().call_soon(member.say, SIGNAL, lie)

    member.on(SIGNAL, answer)
    return used


@pytest.mark.parametrize("stamped", [True, False], ids=["stamped", "no stamps"])
async def test_a_call_by_name_is_answered_by_nobody_else(stamped: bool) -> None:
    room = Room()
    one, two, liar = (Member(room, name if stamped else None) for name in ("ada", "bob.b", "mallory"))
    async with Peer(one, "r") as alice, Peer(two, "r") as bob:
        assert bob.name.startswith("bob.b.") is stamped
        used = answers_every_call(liar, lambda signal: bob.name if stamped else "mallory.1")
        ours, theirs = await asyncio.gather(alice.call(bob.name), bob.accept())
        async with ours, theirs:
            assert (ours.remote, theirs.remote) == (bob.name, alice.name)
            await ours.send("secret", 1)
            assert (await theirs.receive()).payload == 1
        assert used
        with pytest.raises(ConnectFailed, match=f"peer {bob.name} did not answer"):
            await alice.call(bob.name, timeout=0.2)


async def test_a_caller_cannot_call_itself_somebody_else() -> None:
    room = Room()
    liar = Member(room, "mallory")
    async with Peer(Member(room, "bob"), "r") as bob:
        for name in ("ada.1", "mallory", "mallory.1"):
            await liar.send(SIGNAL, {"kind": "offer", "call": "1", "from": name, "sdp": "v=0"}, room_id="r")
        assert bob._offers.get_nowait().sender == "mallory.1"
        assert bob._offers.empty()


@pytest.mark.parametrize("former", [None, "former"])
async def test_a_peer_may_be_made_before_its_connection_knows_its_client_id(former: str | None) -> None:
    room = Room()
    one, two = Member(room, former), Member(room, former)
    async with Peer(one, "r") as alice, Peer(two, "r") as bob:
        one.client_id, two.client_id = "ada", "bob"  # the welcome tells them
        ours, theirs = await asyncio.gather(alice.call(bob.name), bob.accept())
        async with ours, theirs:
            assert [theirs.remote, ours.remote] == [alice.name, bob.name]
            assert [name.partition(".")[0] for name in (alice.name, bob.name)] == ["ada", "bob"]


async def test_an_own_offer_that_is_replayed_after_a_reconnect_is_not_taken() -> None:
    room = Room()
    member, other = Member(room, "old"), Member(room, "bob")
    async with Peer(member, "r") as peer:
        calling = asyncio.create_task(peer.call(timeout=30))
        async with asyncio.timeout(10):
            while not room.log:
                await asyncio.sleep(0.001)
        calling.cancel()
        await asyncio.wait((calling,))
        (offer,) = room.log
        member.client_id = "new"
        member.emit(SIGNAL, offer)
        assert peer._offers.empty()
        other.say(
            SIGNAL, {"kind": "offer", "call": "1", "from": "bob.1", "to": offer.payload["from"], "sdp": ""}
        )
        assert peer._offers.empty()  # bob would take no answer from "new"


async def test_an_offer_that_waited_while_the_client_id_changed_is_not_answered() -> None:
    room = Room()
    one, two = Member(room, "ada"), Member(room, "old")
    async with Peer(one, "r") as alice, Peer(two, "r") as bob:
        offer = {"kind": "offer", "call": "1", "from": "ada.1", "to": bob.name, "sdp": "v=0"}
        one.say(SIGNAL, offer)
        assert bob._offers.qsize() == 1
        two.client_id = "new"
        ours, theirs = await asyncio.gather(alice.call(bob.name), bob.accept())
        async with ours, theirs:
            assert theirs.remote == alice.name


async def test_an_answer_arrives_though_the_callers_client_id_has_changed_meanwhile() -> None:
    room = Room()
    one, two = Member(room, "ada"), Member(room, "bob")

    def reconnect(message: Message) -> None:
        one.client_id = "new"

    two.on(SIGNAL, reconnect)  # once the offer has been sent
    async with Peer(one, "r") as alice, Peer(two, "r") as bob:
        ours, theirs = await asyncio.gather(alice.call(bob.name), bob.accept())
        async with ours, theirs:
            assert alice.name.startswith("new.")
            assert [message.payload.get("to") for message in room.log] == [bob.name, theirs.remote]
            assert theirs.remote is not None
            assert theirs.remote.startswith("ada.")


async def test_sound_travels_and_is_measured() -> None:
    async with calling(audio=lambda: ToneTrack(440.0)) as (ours, theirs):
        await until(lambda: ours.frames_heard >= 30 and theirs.frames_heard >= 30)
        assert ours.pitch() == pytest.approx(440, abs=5)
        assert theirs.pitch() == pytest.approx(440, abs=5)
        stats = await theirs.audio_stats()
        assert stats.packets >= 30
        assert stats.sent >= 30
        assert (stats.lost, stats.lost_fraction) == (0, 0.0)
        assert 0 <= stats.jitter < 0.2


async def test_a_silent_call_has_no_sound() -> None:
    async with calling() as (ours, theirs):
        assert ours.pitch() is None
        assert (await theirs.audio_stats()).packets == 0


class Relay(asyncio.DatagramProtocol):
    """A UDP relay in front of one port, which drops or delays sound, both ways."""

    def __init__(self, port: int, drop: Callable[[int], bool], delay: Callable[[int], float]) -> None:
        self.port, self.drop, self.delay = port, drop, delay
        self.client: Any = None
        self.due: dict[Any, float] = {}
        self.media = 0
        self.packets = 0

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def datagram_received(self, data: bytes, address: Any) -> None:
        self.packets += 1
        if address[1] == self.port:
            target = self.client
        else:
            self.client, target = address, ("127.0.0.1", self.port)
        # RFC 7983: RTP and RTCP begin with 128 to 191; RTCP's payload types are 64 to 95.
        if 128 <= data[0] <= 191 and not 64 <= data[1] & 0x7F <= 95:
            self.media += 1
            if self.drop(self.media):
                return
            loop = asyncio.get_running_loop()
            # In order: a packet that is overtaken would count as lost until it comes.
            due = max(self.due.get(target, 0.0), loop.time() + self.delay(self.media))
            self.due[target] = due + 1e-6
            loop.call_at(due, self._send, data, target)
        else:
            self._send(data, target)

    def _send(self, data: bytes, target: Any) -> None:
        if not self.transport.is_closing():
            self.transport.sendto(data, target)


@pytest.mark.parametrize("fault", ["loss", "jitter"])
async def test_loss_and_jitter_on_the_way_show_in_the_statistics(fault: str) -> None:
    relays: list[Relay] = []

    async def relay(port: int) -> int:
        def make() -> Relay:
            return Relay(
                port,
                drop=lambda n: fault == "loss" and n % 5 == 0,
                delay=lambda n: 0.015 * (n // 2 % 2) if fault == "jitter" else 0.0,
            )

        loop = asyncio.get_running_loop()
        transport, protocol = await loop.create_datagram_endpoint(make, local_addr=("127.0.0.1", 0))
        relays.append(protocol)
        return transport.get_extra_info("sockname")[1]

    room = Room()
    try:
        async with Peer(Member(room), "r", audio=ToneTrack, relay=relay) as alice:
            async with Peer(Member(room), "r", audio=ToneTrack) as bob:
                ours, theirs = await asyncio.gather(alice.call(), bob.accept())
            async with ours, theirs:
                async with asyncio.timeout(30):
                    while (await ours.audio_stats()).packets < 60 or (
                        await theirs.audio_stats()
                    ).packets < 60:
                        await asyncio.sleep(0.02)
                stats = [await ours.audio_stats(), await theirs.audio_stats()]
    finally:
        for each in relays:
            each.transport.close()
    assert len(relays) == 1
    assert relays[0].media >= 120, "the sound did not pass the relay"
    if fault == "loss":
        # Every fifth packet of both directions together.
        total = sum(s.lost for s in stats) / sum(s.lost + s.packets for s in stats)
        assert total == pytest.approx(0.2, abs=0.03)
    else:
        assert all(s.lost == 0 for s in stats)
        assert all(s.jitter > 0.003 for s in stats)


def test_nothing_is_left_after_a_call_with_sound() -> None:
    """Decoder threads end with the call; the encoder's with the loop's executor."""
    before = set(threading.enumerate())
    problems: list[Any] = []

    async def main() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda loop, context: problems.append(context))
        async with calling(audio=ToneTrack) as (ours, theirs):
            await until(lambda: ours.frames_heard > 3 and theirs.frames_heard > 3)
            assert any("decoder" in thread.name for thread in threading.enumerate())
        assert not any("decoder" in thread.name for thread in threading.enumerate())
        assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(main(), debug=True)
    assert problems == []
    assert set(threading.enumerate()) == before
