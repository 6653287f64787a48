"""Two ends of one data channel in one process: control frames, limits, ends."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiortc.rtcsctptransport import WEBRTC_DCEP, WEBRTC_STRING

from rtlab.errors import MessageTooLarge, TransportClosed
from rtlab.webrtc.data_channel_framing_and_pings import HIGH_WATER_BYTES, DataLink, check_reliability
from rtlab.webrtc.loopback_ice import LoopbackPeerConnection


class End:
    """One end and what it was told."""

    def __init__(self, peer: LoopbackPeerConnection, channel: Any) -> None:
        self.frames: list[str | bytes] = []
        self.ends: list[TransportClosed] = []
        self.raw: list[str | bytes] = []
        channel.on("message", self.raw.append)
        self.link = DataLink(peer, channel, self.frames.append, self.ends.append)


@contextlib.asynccontextmanager
async def linked(**options: Any) -> AsyncIterator[tuple[End, End]]:
    one, two = LoopbackPeerConnection(), LoopbackPeerConnection()
    arrived: asyncio.Future[End] = asyncio.get_running_loop().create_future()
    two.on("datachannel", lambda channel: arrived.set_result(End(two, channel)))
    ours = End(one, one.createDataChannel("x", **options))
    await one.setLocalDescription()
    await two.setRemoteDescription(one.localDescription)
    await two.setLocalDescription()
    await one.setRemoteDescription(two.localDescription)
    async with asyncio.timeout(20):
        await ours.link.opened()
        theirs = await arrived
    try:
        yield ours, theirs
    finally:
        for end in (ours, theirs):
            end.link.abort()
            await end.link.closed()


async def until(condition: Any) -> None:
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.001)


async def test_text_and_bytes_arrive_as_they_are() -> None:
    async with linked() as (ours, theirs):
        for frame in ("{}", "", b"\x80", b"", "\t€"):
            ours.link.send(frame)
        await until(lambda: len(theirs.frames) == 5)
        assert theirs.frames == ["{}", "", b"\x80", b"", "\t€"]


async def test_control_frames_are_rfc_6455s_and_stay_hidden() -> None:
    async with linked() as (ours, theirs):
        await ours.link.ping()
        assert theirs.raw == [b"\x09" + bytes(8)]
        assert ours.raw == [b"\x0a" + bytes(8)]
        await ours.link.close(1001, "é" * 100)
        reason = "é" * 61  # 123 bytes hold 61 of them
        assert theirs.raw[-1] == b"\x08\x03\xe9" + reason.encode()
        assert (theirs.frames, ours.frames) == ([], [])
        assert [(e.code, e.reason, e.clean) for e in theirs.ends] == [(1001, reason, True)]
        assert [(e.code, e.clean) for e in ours.ends] == [(1001, True)]


async def test_pings_of_a_peer_that_takes_nothing_have_one_answer_and_it_is_the_newest_ones() -> None:
    async with linked() as (ours, theirs):
        theirs.link.pause()
        for _ in range(30):
            ours.link.send(b"\xff" * 60_000)
        held = ours.link.buffered_bytes
        assert held > HIGH_WATER_BYTES
        for n in range(10_000):
            ours.link.channel.emit("message", b"\x09" + n.to_bytes(125, "big"))
        assert ours.link.buffered_bytes == held
        theirs.link.resume()
        newest = b"\x0a" + (9999).to_bytes(125, "big")
        await until(lambda: theirs.raw[-1:] == [newest])
        assert len(theirs.raw) == 31
        await ours.link.ping()
        await theirs.link.ping()


async def test_malformed_control_frames_do_no_harm() -> None:
    async with linked() as (ours, theirs):
        for frame in (b"\x0a", b"\x0awrong", b"\x00", b"\x07x", b"\x09" + b"z" * 5000):
            ours.link.channel.send(frame)
        ours.link.send("fine")
        await until(lambda: theirs.frames)
        assert theirs.frames == ["fine"]
        ours.link.channel.send(b"\x08\x03")  # a close frame without a whole code
        await until(lambda: theirs.ends)
        assert theirs.ends[0].code == 1005


@pytest.mark.parametrize("reliability", [{}, {"ordered": False, "maxRetransmits": 0}])
async def test_text_that_is_not_utf_8_ends_both_with_1007(
    caplog: pytest.LogCaptureFixture, reliability: dict[str, Any]
) -> None:
    async with linked(**reliability) as (ours, theirs):
        await send_raw(ours, WEBRTC_STRING, b'{"type":"\xff"}')
        ours.link.send("too late")
        await until(lambda: ours.ends and theirs.ends)
        assert [(e.code, e.reason, e.clean) for e in theirs.ends] == [(1007, "text that is not UTF-8", False)]
        assert [(e.code, e.reason, e.clean) for e in ours.ends] == [(1007, "text that is not UTF-8", True)]
        await until(lambda: "too late" in theirs.raw)
        assert theirs.frames == []
    assert caplog.records == []


@pytest.mark.parametrize(
    "data",
    [
        b"\x03" + bytes(7) + b"\x00\x01\x00\x00" + b"x",  # opens a channel in the stream of an open one
        b"\x02",  # acknowledges a channel that does not exist
    ],
    ids=["open", "ack"],
)
async def test_malformed_channel_control_ends_both_with_1002(
    caplog: pytest.LogCaptureFixture, data: bytes
) -> None:
    async with linked() as (ours, theirs):
        stream = None if data[0] == 3 else 100
        await send_raw(ours, WEBRTC_DCEP, data, stream)
        await until(lambda: ours.ends and theirs.ends)
        assert [e.code for e in (*theirs.ends, *ours.ends)] == [1002, 1002]
    assert caplog.records == []


async def send_raw(end: End, kind: int, data: bytes, stream: int | None = None) -> None:
    """Send one SCTP message with a payload protocol identifier of our choice (RFC 8831 §8)."""
    sctp: Any = end.link.channel.transport
    await sctp._send(end.link.channel.id if stream is None else stream, kind, data)


async def test_both_ends_may_close_at_once() -> None:
    async with linked() as (ours, theirs):
        async with asyncio.timeout(20):
            await asyncio.gather(ours.link.close(1000, "a"), theirs.link.close(1000, "b"))
        assert len(ours.ends) == len(theirs.ends) == 1


async def test_an_end_sends_one_close_frame() -> None:
    """RFC 6455 §5.5.1: an end that has sent one does not answer another."""
    async with linked() as (ours, theirs):
        ours.link.channel.send(b"\x08\x03\xe8")  # past `ours`, which answers the echo, and so sends its one
        await until(lambda: ours.ends and theirs.ends)
        ours.link.channel.send("behind the answer to the echo")
        await until(lambda: "behind the answer to the echo" in theirs.raw)
        theirs.link.channel.send("behind all")
        await until(lambda: "behind all" in ours.raw)
        assert ours.raw == [b"\x08\x03\xe8", "behind all"]
        assert theirs.raw == [b"\x08\x03\xe8"] * 2 + ["behind the answer to the echo"]


async def test_a_malformed_message_during_close_brings_no_second_close_frame(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with linked() as (ours, theirs):
        sent: list[str | bytes] = []
        monkeypatch.setattr(theirs.link.channel, "send", sent.append)
        closing = asyncio.create_task(theirs.link.close(1000, "bye", timeout=20))
        await until(lambda: sent)
        await send_raw(ours, WEBRTC_STRING, b"\xff")
        async with asyncio.timeout(20):
            await closing
        assert [e.code for e in theirs.ends] == [1007]
        assert sent == [b"\x08\x03\xe8bye"]


async def test_close_does_not_wait_for_a_peer_that_is_silent() -> None:
    async with linked() as (ours, theirs):
        theirs.link.pause()
        before = asyncio.get_running_loop().time()
        async with asyncio.timeout(20):
            await ours.link.close(timeout=0.1)
        assert asyncio.get_running_loop().time() - before >= 0.1
        assert not ours.ends[0].clean


async def test_everything_that_waits_ends_with_the_link() -> None:
    async with linked() as (ours, theirs):
        theirs.link.pause()
        for _ in range(30):
            ours.link.send(b"\xff" * 60_000)
        assert ours.link.buffered_bytes > HIGH_WATER_BYTES
        waits = [asyncio.ensure_future(w) for w in (ours.link.ping(), ours.link.drained())]
        await asyncio.sleep(0)
        ours.link.abort(1006, "gone")
        results = await asyncio.wait_for(asyncio.gather(*waits, return_exceptions=True), 2)
        assert isinstance(results[0], TransportClosed)
        assert results[1] is None
        with pytest.raises(TransportClosed, match="gone"):
            ours.link.send("late")


async def test_a_message_over_the_peers_limit_is_refused() -> None:
    async with linked() as (ours, _):
        with pytest.raises(MessageTooLarge, match="262,144"):
            ours.link.send("é" * 131_073)  # counted in bytes


@pytest.mark.parametrize(
    ("retransmits", "life_time"), [(0, None), (65_535, None), (None, 0.001), (None, None)]
)
def test_possible_options(retransmits: int | None, life_time: float | None) -> None:
    check_reliability(retransmits, life_time)


@pytest.mark.parametrize(("retransmits", "life_time"), [(1, 1.0), (-1, None), (65_536, None), (None, 0.0)])
def test_impossible_options(retransmits: int | None, life_time: float | None) -> None:
    with pytest.raises(ValueError, match="expected"):
        check_reliability(retransmits, life_time)
