"""The process: announced, token-guarded, gone with its parent."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass

import httpx
import pytest

from rtlab.faults.__main__ import api_token, make_parser
from rtlab.faults.client.fault_client import FaultClient
from rtlab.faults.errors import FaultError


@dataclass
class Child:
    process: asyncio.subprocess.Process
    port: int
    pipe: int

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


@pytest.fixture
async def child() -> AsyncIterator[Child]:
    read, write = os.pipe()
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "rtlab.faults", "--port", "0", "--token", "T", "--watch-fd", str(read)),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        pass_fds=(read,),
        start_new_session=True,
    )
    os.close(read)
    assert process.stdout
    line = json.loads(await asyncio.wait_for(process.stdout.readline(), 30))
    assert line["pid"] == process.pid
    child = Child(process, line["port"], write)
    yield child
    if child.pipe >= 0:
        os.close(child.pipe)
    _, errors = await asyncio.wait_for(process.communicate(), 10)
    assert errors == b""


async def test_faults_leave_no_task_behind(child: Child, echo: str) -> None:
    host, port = echo.split(":")
    async with FaultClient(child.url, "T", host, int(port)) as faults:
        idle = await tasks(child)
        await faults.rtt(2)
        for kind in ("stall", "slicer", "latency", "blackhole", "corrupt", "timeout", "reset_peer"):
            attributes = {"average_size": 9, "probability": 0.1}
            async with faults.toxic(kind, stream="both", name="x", **attributes):
                reader, writer = await asyncio.open_connection(faults.host, faults.port)
                writer.write(b"x" * 10_000)
                with contextlib.suppress(TimeoutError, OSError):
                    await asyncio.wait_for(reader.read(100), 0.03)
                await faults.cut()
                writer.transport.abort()
        await faults.restore()
        reader, writer = await asyncio.open_connection(faults.host, faults.port)
        writer.write(b"fine")
        assert await reader.readexactly(4) == b"fine"
        writer.transport.abort()
        assert len(await faults.trace()) > 10
        async with asyncio.timeout(5):
            while await tasks(child) > idle:
                await asyncio.sleep(0.01)


async def test_ends_and_bytes_are_right_in_the_process_too(child: Child, echo: str) -> None:
    """The process runs on uvloop where it can; the other tests run on asyncio's own loop."""
    host, port = echo.split(":")
    async with FaultClient(child.url, "T", host, int(port)) as faults:
        reader, writer = await asyncio.open_connection(faults.host, faults.port)
        data = bytes(range(256)) * 20_000

        async def send() -> None:
            writer.write(data)
            writer.write_eof()
            await writer.drain()

        sending = asyncio.create_task(send())
        assert await reader.read(-1) == data
        await sending
        writer.close()
        for how in ("rst", "fin"):
            reader, writer = await asyncio.open_connection(faults.host, faults.port)
            writer.write(b"x")
            assert await reader.readexactly(1) == b"x"
            assert await faults.cut(how) == 1
            if how == "rst":
                with pytest.raises(ConnectionResetError):
                    await reader.read()
            else:
                assert await reader.read() == b""
            writer.transport.abort()


async def tasks(child: Child) -> int:
    """The process's own count of its tasks."""
    async with httpx.AsyncClient(trust_env=False, headers={"X-Rtlab-Token": "T"}) as http:
        text = (await http.get(f"{child.url}/metrics")).text
    return int(next(line for line in text.splitlines() if line.startswith("rtlab_tasks ")).split()[1])


async def test_a_wrong_token_is_refused(child: Child) -> None:
    client = FaultClient(child.url, "wrong", "127.0.0.1", 1)
    with pytest.raises(FaultError, match="missing or wrong token"):
        await client.start()
    await client.close()


async def test_it_ends_with_its_parent(child: Child) -> None:
    os.close(child.pipe)
    child.pipe = -1
    assert await asyncio.wait_for(child.process.wait(), 10) == 0


async def test_sigterm_ends_it_in_good_order(child: Child, echo: str) -> None:
    host, port = echo.split(":")
    faults = await FaultClient(child.url, "T", host, int(port)).start()
    reader, writer = await asyncio.open_connection(faults.host, faults.port)
    writer.write(b"x")
    assert await reader.readexactly(1) == b"x"
    child.process.send_signal(signal.SIGTERM)
    assert await asyncio.wait_for(child.process.wait(), 10) == 0
    with pytest.raises(ConnectionResetError):
        await reader.read()
    writer.transport.abort()
    await faults.close()  # the process is gone: no error


async def test_bytes_that_are_no_text_are_refused_without_a_traceback(child: Child) -> None:
    """That nothing is written to its standard error, the fixture checks."""
    ask = b"GET /proxies HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n"
    for head in (
        ask + b"Authorization: Bearer \xff\r\n\r\n",
        ask + b"X-Rtlab-Token: \xff\r\n\r\n",
        b"\xff\xfe nonsense\r\n\r\n",
    ):
        reader, writer = await asyncio.open_connection("127.0.0.1", child.port)
        writer.write(head)
        async with asyncio.timeout(20):
            assert (await reader.read()).split()[1] == (b"400" if b"nonsense" in head else b"401")
        writer.close()


async def test_alone_it_makes_a_token_and_prints_it() -> None:
    environment = {name: value for name, value in os.environ.items() if name != "RTLAB_TOKEN"}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "rtlab.faults", "--port", "0"),
        stdout=asyncio.subprocess.PIPE,
        env=environment,
    )
    assert process.stdout
    line = json.loads(await asyncio.wait_for(process.stdout.readline(), 30))
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{line['port']}", trust_env=False) as http:
        assert (await http.get("/proxies")).status_code == 401
        given = {"Authorization": f"Bearer {line['token']}"}
        assert (await http.get("/proxies", headers=given)).status_code == 200
    process.terminate()
    assert await asyncio.wait_for(process.wait(), 10) == 0


@pytest.mark.parametrize(
    ("arguments", "token"),
    [(["--no-token"], None), (["--token", "mine"], "mine"), ([], "of the environment")],
)
def test_a_token_is_made_only_where_none_was_given(
    monkeypatch: pytest.MonkeyPatch, arguments: list[str], token: str | None
) -> None:
    monkeypatch.setenv("RTLAB_TOKEN", "of the environment")
    assert api_token(make_parser().parse_args(arguments)) == (token, False)
