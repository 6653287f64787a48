"""FaultClient against the API, as a notebook uses it."""

from __future__ import annotations

import asyncio
import time

import pytest

from rtlab.errors import InvalidState
from rtlab.faults.client.fault_client import FaultClient
from rtlab.faults.errors import FaultError
from rtlab.faults.seeded_fault_timeline import FaultScript


async def connect(faults: FaultClient) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    return await asyncio.open_connection(faults.host, faults.port)


async def round_trip(streams: tuple[asyncio.StreamReader, asyncio.StreamWriter], times: int = 1) -> float:
    """The shortest of several round trips, in seconds: what the path takes when nobody disturbs."""
    reader, writer = streams
    took: list[float] = []
    for _ in range(times):
        start = time.perf_counter()
        writer.write(b"ping")
        assert await reader.readexactly(4) == b"ping"
        took.append(time.perf_counter() - start)
    return min(took)


@pytest.mark.alone
async def test_latency_and_rtt_lengthen_the_round_trip(faults: FaultClient) -> None:
    streams = await connect(faults)
    await faults.latency(60, jitter=10)
    assert await round_trip(streams) > 0.049
    await faults.rtt(80)  # on top
    assert await round_trip(streams) > 0.128
    await faults.rtt(0)
    await faults.latency(0)
    assert await round_trip(streams, 10) < 0.04
    streams[1].transport.abort()


async def test_the_handshakes_round_trip_can_be_added(faults: FaultClient) -> None:
    old = await connect(faults)
    await round_trip(old)
    await faults.rtt(60, handshake=True)
    new = await connect(faults)
    first, later = await round_trip(new), await round_trip(old, 5)
    assert first > 0.118
    assert 0.058 < later < first
    assert await round_trip(new, 5) < first
    await faults.rtt(0)
    assert await faults.toxics() == []
    for streams in (old, new):
        streams[1].transport.abort()


async def test_a_fault_in_a_block_is_undone_at_its_end(faults: FaultClient) -> None:
    streams = await connect(faults)
    async with faults.stall():
        streams[1].write(b"ping")
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(streams[0].read(4), 0.05)
    assert await asyncio.wait_for(streams[0].readexactly(4), 10) == b"ping"
    assert await faults.toxics() == []
    streams[1].transport.abort()


async def test_a_blackhole_resets_only_who_lost_something(faults: FaultClient) -> None:
    silent, talking = await connect(faults), await connect(faults)
    await round_trip(silent)
    async with faults.blackhole():
        talking[1].write(b"lost")
        await talking[1].drain()
        while not any(e.kind == "affected" for e in await faults.events()):
            await asyncio.sleep(0.002)
    with pytest.raises(ConnectionResetError):
        await talking[0].read()
    await round_trip(silent)
    for streams in (silent, talking):
        streams[1].transport.abort()


async def test_a_fault_that_nobody_awaited_says_so(faults: FaultClient) -> None:
    fault = faults.latency(200)
    assert "not active: `await` it" in repr(fault)
    assert await faults.toxics() == []
    await fault
    assert repr(fault) == "<fault latency latency=200 jitter=0: active>"
    await fault.remove()
    await fault.remove()


async def test_down_refuses_and_restore_listens_again(faults: FaultClient) -> None:
    await faults.latency(5)
    await faults.down()
    with pytest.raises(ConnectionRefusedError):
        await connect(faults)
    await faults.restore()
    streams = await connect(faults)
    await round_trip(streams)
    assert await faults.toxics() == []
    streams[1].transport.abort()


async def test_cut_counts_and_the_trace_tells(faults: FaultClient) -> None:
    streams = await connect(faults)
    await round_trip(streams)
    assert await faults.cut() == 1
    with pytest.raises(ConnectionResetError):
        await streams[0].read()
    trace = await faults.trace()
    assert list(trace.kind)[-2:] == ["opened", "ended"]
    assert trace.iloc[-1].detail == "rst: cut"
    streams[1].transport.abort()


async def test_profiles_have_sources_and_set_both_directions(faults: FaultClient) -> None:
    assert all(profile.source for profile in faults.profiles.values())
    async with faults.profile("3g"):
        toxics = {t["name"]: t["attributes"] for t in await faults.toxics()}
    assert toxics == {
        "profile_bandwidth_upstream": {"rate": 96.0},
        "profile_latency_upstream": {"latency": 150.0, "jitter": 0},
        "profile_bandwidth_downstream": {"rate": 200.0},
        "profile_latency_downstream": {"latency": 150.0, "jitter": 0},
    }
    assert await faults.toxics() == []
    with pytest.raises(FaultError, match="no profile 'lte': take one of 2g"):
        faults.profile("lte")


async def test_a_script_runs_in_the_proxy(faults: FaultClient) -> None:
    script = FaultScript(seed=1).add(0, "latency", lasting=0.05, latency=1).cut(0.1)
    status = await faults.play(script)
    assert status["actions"] == 3
    async with asyncio.timeout(5):
        while (await faults.script_status())["running"]:
            await asyncio.sleep(0.01)
    status = await faults.script_status()
    assert (status["done"], status["error"]) == (3, "")


async def test_errors_carry_the_proxys_words(faults: FaultClient) -> None:
    with pytest.raises(FaultError, match=r"^invalid toxic type$") as info:
        await faults.toxic("nonsense")
    assert info.value.status == 400


async def test_use_before_start_is_an_error() -> None:
    client = FaultClient("http://127.0.0.1:1", None, "127.0.0.1", 2)
    with pytest.raises(InvalidState, match=r"client\.start"):
        await client.cut()
    with pytest.raises(InvalidState):
        _ = client.url
    await client.close()


async def scripted(answer: bytes) -> tuple[asyncio.Server, FaultClient]:
    """A client of something that listens where the fault proxy's API should."""

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        writer.close()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    return server, FaultClient(f"http://127.0.0.1:{port}", None, "127.0.0.1", 9)


HEAD = b"HTTP/1.1 %s\r\nContent-Type: application/json\r\nConnection: close\r\n\r\n"


@pytest.mark.parametrize(
    ("answer", "status"),
    [
        (b"", 503),
        (b"SSH-2.0-OpenSSH_9\r\n", 503),
        (HEAD % b"200 OK" + b"[" * 5_000, 502),
        (HEAD % b"200 OK" + b"\xff", 502),
        (HEAD % b"500 Oops" + b"[" * 5_000, 500),
        (HEAD % b"500 Oops" + b'{"error": "\xff"}', 500),
    ],
)
async def test_whatever_answers_in_place_of_the_proxy_is_one_error(answer: bytes, status: int) -> None:
    server, client = await scripted(answer)
    with pytest.raises(FaultError) as caught:
        await client.start()
    assert caught.value.status == status
    await client.close()
    server.close()
