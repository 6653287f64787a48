from __future__ import annotations

import asyncio
import gc
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from typing import Any
from unittest.mock import AsyncMock

import psutil
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from rtlab.errors import LabError
from rtlab.lab.lab import Lab
from rtlab.processes.ports import accepts
from rtlab.processes.start_child_process import Child
from rtlab.protocol.permessage_deflate import Deflate
from tests.held_ports import needs_held_ports, ports_held_here

TIMEOUT = 30.0


async def say(url: str, message: dict[str, Any]) -> dict[str, Any]:
    """Send one message to a node, and return its answer."""
    async with asyncio.timeout(10), connect(url, proxy=None) as connection:
        await connection.recv()  # welcome
        await connection.send(json.dumps(message))
        return json.loads(await connection.recv())


def stats(lab: Lab, token: str) -> int:
    request = urllib.request.Request(f"{lab.url}/stats", headers={"Authorization": f"Bearer {token}"})
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=10) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        with error:
            return error.code


async def test_a_lab_answers_until_it_is_stopped():
    lab = await Lab.start()
    answer = await say(lab.ws_url, {"type": "echo", "payload": "hi", "id": "1"})
    assert (answer["type"], answer["payload"], answer["id"]) == ("echo", "hi", "1")
    pids, port = lab.pids, int(lab.url.rpartition(":")[2])
    await lab.stop()
    await lab.stop()
    assert not any(psutil.pid_exists(pid) for pid in pids)
    assert not await accepts(port)


async def test_it_works_as_a_context_too():
    async with Lab() as lab:
        assert lab.ws_url == lab.url.replace("http", "ws") + "/ws"
        assert lab in Lab.running()
    assert lab not in Lab.running()
    with pytest.raises(LabError, match="expected a running lab, got one that is stopped"):
        _ = lab.url
    with pytest.raises(LabError, match="expected a new lab"):
        await lab.__aenter__()
    with pytest.raises(LabError, match="expected a running lab"):
        await lab.restart()
    assert not any(psutil.pid_exists(pid) for pid in lab.pids)


def test_a_lab_may_be_stopped_on_another_loop_than_it_was_started_on():
    lab = asyncio.run(Lab.start())
    asyncio.run(lab.stop())
    assert not any(psutil.pid_exists(pid) for pid in lab.pids)


async def test_two_labs_do_not_disturb_each_other():
    async with Lab() as one, Lab() as two:
        assert one.url != two.url
        assert one.token != two.token
        await one.stop()
        assert (await say(two.ws_url, {"type": "echo"}))["type"] == "echo"


async def test_running_a_cell_again_leaves_nothing_behind():
    lab = await Lab.start()
    (first,) = lab.pids
    lab = await Lab.start()
    gc.collect()
    assert not psutil.pid_exists(first)
    assert (await say(lab.ws_url, {"type": "echo"}))["type"] == "echo"
    await lab.stop()


async def test_the_admin_routes_want_the_token():
    async with Lab() as lab:
        assert await asyncio.to_thread(stats, lab, lab.token) == 200
        assert await asyncio.to_thread(stats, lab, "wrong") in (401, 403)
        # Other users can read command lines.
        assert not any(lab.token in word for word in psutil.Process(lab.pids[0]).cmdline())


async def test_nodes_have_names_and_ports_of_their_own():
    async with Lab(nodes=2) as lab:
        names: list[str] = []
        for url in lab.ws_urls:
            async with connect(url, proxy=None) as connection:
                names.append(json.loads(await connection.recv())["payload"]["node"])
        assert names == ["node-1", "node-2"]


async def test_options_reach_the_server():
    async with Lab(max_message_bytes=2000, heartbeat=0) as lab, connect(lab.ws_url, proxy=None) as connection:
        welcome = json.loads(await connection.recv())["payload"]
        assert welcome["limits"]["maxMessageBytes"] == 2000
        assert welcome["heartbeat"] is None


async def test_compression_is_off_unless_asked_for():
    small = Deflate(server_max_window_bits=9)
    for asked, window in ((False, ""), (small, "remote_max_window_bits=9")):
        async with Lab(compression=asked) as lab, connect(lab.ws_url, proxy=None) as connection:
            assert window in "".join(map(str, connection.protocol.extensions))
            assert bool(connection.protocol.extensions) is bool(asked)


async def test_an_unknown_option_is_named_at_once():
    with pytest.raises(LabError, match=r"expected one of heartbeat, .*, got hartbeat=3"):
        Lab(hartbeat=3)  # type: ignore[call-arg]
    with pytest.raises(LabError, match="at least one node"):
        Lab(nodes=0)


async def test_a_server_that_cannot_start_shows_its_last_lines():
    with pytest.raises(LabError, match=r"ended with exit code 2; its last lines:(.|\n)*seconds from 0"):
        await Lab.start(heartbeat=-1)
    assert Lab.running() == []


async def test_when_one_node_cannot_start_none_is_left():
    async with Lab() as other:
        before = psutil.Process().children()
        port = int(other.url.rpartition(":")[2])
        with pytest.raises(LabError, match="server node-1 ended with exit code 1"):
            await Lab.start(nodes=2, port=port)
        assert psutil.Process().children() == before


async def test_a_server_that_died_later_is_reported():
    lab = await Lab.start()
    os.kill(lab.pids[0], signal.SIGKILL)
    deadline = time.monotonic() + 10
    while "died" not in repr(lab):
        assert time.monotonic() < deadline
        await asyncio.sleep(0.01)
    with pytest.raises(LabError, match="the server was killed by SIGKILL"):
        _ = lab.ws_url
    await lab.stop()


async def test_restart_is_graceful_and_keeps_the_address():
    async with Lab(stop_window=0.0) as lab:
        url = lab.url
        async with connect(lab.ws_url, proxy=None) as connection:
            await connection.recv()
            restart = asyncio.create_task(lab.restart())
            with pytest.raises(ConnectionClosed) as closed:
                async with asyncio.timeout(10):
                    await connection.recv()
            assert closed.value.rcvd is not None
            assert closed.value.rcvd.code == 1012
        await restart
        assert lab.url == url
        assert (await say(lab.ws_url, {"type": "echo"}))["type"] == "echo"


async def test_a_restart_may_change_options_until_the_next_one():
    async with Lab(max_connections=2) as lab:
        for most in (1, 2):
            await (lab.restart(max_connections=1) if most == 1 else lab.restart())
            held = [await connect(lab.ws_url, proxy=None) for _ in range(most)]
            with pytest.raises(InvalidStatus):
                await connect(lab.ws_url, proxy=None)
            for connection in held:
                await connection.close()


async def test_a_restart_with_an_unknown_option_leaves_the_node_alone():
    async with Lab() as lab:
        with pytest.raises(LabError, match="got colour='red'"):
            await lab.restart(colour="red")  # type: ignore[call-arg]
        assert (await say(lab.ws_url, {"type": "echo"}))["type"] == "echo"


async def test_an_interrupted_restart_leaves_no_hole():
    async with asyncio.timeout(30), Lab() as lab:
        url, old = lab.ws_url, lab.pids
        restart = asyncio.create_task(lab.restart())
        await asyncio.sleep(0)  # it has asked the node to stop
        restart.cancel()
        with pytest.raises(asyncio.CancelledError):
            await restart
        assert lab.ws_url == url
        while not await accepts(int(lab.url.rpartition(":")[2])):
            await asyncio.sleep(0.01)
        assert (await say(url, {"type": "echo"}))["type"] == "echo"
        assert lab.pids != old


@pytest.mark.parametrize("turns", [1, 3])  # before its children were asked, and after
async def test_an_interrupted_stop_leaves_nothing(turns: int):
    lab = await Lab.start(nodes=2, broker="nats")
    assert lab._broker is not None
    pids = [*lab.pids, lab._broker.pid]
    stop = asyncio.create_task(lab.stop())
    for _ in range(turns):
        await asyncio.sleep(0)
    stop.cancel()
    with pytest.raises(asyncio.CancelledError):
        await stop
    async with asyncio.timeout(30):
        while any(map(psutil.pid_exists, pids)):
            await asyncio.sleep(0.01)


async def test_a_killed_node_comes_back_at_its_address():
    async with Lab() as lab:
        url = lab.url
        async with connect(lab.ws_url, proxy=None) as connection:
            await connection.recv()
            lab.kill()
            with pytest.raises(ConnectionClosed) as closed:
                await connection.recv()
            assert closed.value.rcvd is None
        await lab.reset()
        assert lab.url == url
        assert (await say(lab.ws_url, {"type": "echo"}))["type"] == "echo"


async def test_a_reset_says_plainly_why_a_node_does_not_start_again(monkeypatch: pytest.MonkeyPatch):
    async with Lab(nodes=2) as lab:
        monkeypatch.setattr(Child, "announced", AsyncMock(side_effect=LabError("the server is no more")))
        with pytest.raises(LabError, match="the server is no more"):
            await lab.reset()


@needs_held_ports
async def test_the_ports_of_its_nodes_stay_reserved_while_the_nodes_are_down():
    async with Lab(nodes=2) as lab:
        ports = {int(url.rpartition(":")[2]) for url in lab.urls}
        for node in (0, 1):
            lab.kill(node)
        assert ports <= ports_held_here().keys()
        with socket.socket() as stranger:
            for port in ports:
                with pytest.raises(OSError, match="in use"):
                    stranger.bind(("127.0.0.1", port))
        for node in (0, 1):
            await lab.restart(node)
        assert ports == {int(url.rpartition(":")[2]) for url in lab.urls}
        assert (await say(lab.ws_url, {"type": "echo"}))["type"] == "echo"
    assert not ports & ports_held_here().keys()


async def test_where_no_port_can_be_held_a_node_is_started_again_on_the_same(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("rtlab.lab.lab.can_hold_ports", lambda: False)
    monkeypatch.setattr("rtlab.lab.lab.HeldPort", None)  # nobody makes one
    async with Lab() as lab:
        url = lab.url
        lab.kill()
        with socket.socket() as kept:  # by this test: nobody else may be given the port meanwhile
            if sys.platform == "linux":  # elsewhere, it would keep out the node too
                kept.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                kept.bind(("127.0.0.1", int(url.rpartition(":")[2])))
            await lab.restart()
        assert lab.url == url
        assert (await say(lab.ws_url, {"type": "echo"}))["type"] == "echo"


@needs_held_ports
async def test_a_port_that_the_caller_chose_is_left_to_the_caller(held_port: int):
    async with Lab(port=held_port) as lab:
        assert lab.url.endswith(f":{held_port}")
        lab.kill()
        assert ports_held_here()[held_port] == 1  # by this test


async def test_what_is_shown_is_the_same_on_every_run():
    async with Lab() as one, Lab() as two:
        assert repr(one) == repr(two) == "<Lab: 1 server, running>"
        assert one._repr_html_() == two._repr_html_()
        assert "127.0.0.1" not in one._repr_html_()
    assert repr(one) == "<Lab: 1 server, stopped>"
    assert "Lab.start()" in one._repr_html_()


async def test_the_fault_proxy_stands_in_front_of_the_first_node():
    async with Lab(faults=True) as lab:
        assert repr(lab) == "<Lab: 1 server and fault proxy, running>"
        through = f"ws://{lab.faults.host}:{lab.faults.port}/ws"
        assert through != lab.ws_url
        assert (await say(through, {"type": "echo", "payload": 7}))["payload"] == 7
        async with connect(through, proxy=None) as connection:
            await connection.recv()
            await lab.faults.cut()
            with pytest.raises(ConnectionClosed):
                await connection.recv()
        await lab.reset()
        assert (await say(through, {"type": "echo", "payload": 8}))["payload"] == 8


async def test_a_lab_without_a_fault_proxy_says_how_to_get_one():
    async with Lab() as lab:
        with pytest.raises(LabError, match=r"Lab.start\(faults=True\)"):
            _ = lab.faults


async def test_third_party_programs_end_with_the_lab(held_port: int):
    port = held_port
    async with Lab() as lab:
        web = [sys.executable, "-m", "http.server", "--bind", "127.0.0.1", str(port)]
        child = await lab.spawn(web, name="web", port=port)
        assert await accepts(port)
        assert child.pid in lab.pids
        await child.stop(5.0)
        assert child.pid not in lab.pids
        lab.check()  # what was ended on purpose has not died
        child = await lab.spawn(web, name="web", port=port)
        child.kill()
        with pytest.raises(LabError, match="the web was killed"):
            lab.check()
        await child.stop(5.0)
        await lab.spawn(web, name="web", port=port)
    assert not await accepts(port)


async def test_a_third_party_program_that_fails_shows_its_last_lines(held_port: int):
    async with Lab() as lab:
        with pytest.raises(LabError, match=r"the tool ended with exit code 1; its last lines:\nno config"):
            await lab.spawn(
                [sys.executable, "-c", "raise SystemExit('no config')"], name="tool", port=held_port
            )
        lab.check()


KERNEL = """
import asyncio, sys
from rtlab.lab.lab import Lab
async def main():
    lab = await Lab.start(nodes=2)
    tool = await lab.spawn([sys.executable, "-c", "import time; time.sleep(600)"])
    print(*lab.pids, flush=True)
    await asyncio.sleep(600)
asyncio.run(main())
"""


def runs(process: psutil.Process) -> bool:
    """Whether it runs: one that has ended, and that nobody has collected yet, does not."""
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM], ids=["SIGKILL", "SIGTERM"])
def test_no_child_outlives_the_kernel(number: signal.Signals):
    kernel = subprocess.Popen([sys.executable, "-c", KERNEL], stdout=subprocess.PIPE, text=True)
    assert kernel.stdout is not None
    with kernel.stdout as printed:
        children = [psutil.Process(int(word)) for word in printed.readline().split()]
        assert len(children) >= 3  # and a balancer, where there is HAProxy
        family = children + [found for child in children for found in child.children()]
        kernel.send_signal(number)
        kernel.wait(10)
    deadline = time.monotonic() + 20
    while (alive := [one for one in family if runs(one)]) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert alive == []


STRANGERS = """
import asyncio
from rtlab.lab.lab import Lab
async def main():
    lab = await Lab.start(faults=True, stop_window=60)
    print(lab.ws_url, lab.faults.ws_url, *lab.pids, flush=True)
    await asyncio.sleep(600)
asyncio.run(main())
"""


async def test_clients_elsewhere_do_not_keep_an_orphan_alive():
    kernel = await asyncio.create_subprocess_exec(
        sys.executable, "-c", STRANGERS, stdout=asyncio.subprocess.PIPE
    )
    assert kernel.stdout is not None
    direct, proxied, *pids = (await asyncio.wait_for(kernel.stdout.readline(), 30)).decode().split()
    children = [psutil.Process(int(pid)) for pid in pids]
    async with (
        connect(direct, proxy=None) as one,
        connect(direct, proxy=None) as two,
        connect(proxied, proxy=None) as three,
    ):
        for connection in (one, two, three):
            await connection.recv()  # welcome
        kernel.kill()
        await kernel.wait()
        deadline = time.monotonic() + 20
        while (alive := [child for child in children if runs(child)]) and time.monotonic() < deadline:
            await asyncio.sleep(0.01)
    assert alive == []


def test_a_forgotten_lab_ends_with_its_process():
    code = "import asyncio; from rtlab.lab.lab import Lab; lab = asyncio.run(Lab.start()); print(*lab.pids)"
    done = subprocess.run(
        [sys.executable, "-W", "always", "-c", code], capture_output=True, text=True, timeout=30, check=True
    )
    assert done.stderr == ""
    assert not any(psutil.pid_exists(int(pid)) for pid in done.stdout.split())


@pytest.mark.cold
async def test_its_start_takes_little_of_the_processor():
    """The seconds that it takes, `rtlab bench import` measures; here, others' work does not count."""
    used: list[float] = []
    for _ in range(3):
        began = time.process_time()
        async with Lab() as lab:
            children = [psutil.Process(pid).cpu_times() for pid in lab.pids]
            used.append(time.process_time() - began + sum(times.user + times.system for times in children))
    assert min(used) < 1.0
