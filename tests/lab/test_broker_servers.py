"""A port that was free a moment ago, and is not any more."""

from __future__ import annotations

import gc
import os
import socket
from pathlib import Path

import psutil
import pytest

from rtlab.errors import LabError
from rtlab.lab import broker_servers
from rtlab.lab.broker_servers import BrokerServer, _end_and_remove, find_broker
from rtlab.processes.ports import HeldPort
from tests.held_ports import needs_held_ports, ports_held_here


def given(*ports: int | None) -> tuple[type[HeldPort], list[int]]:
    """Return a `HeldPort` that names these ports in turn (None: its own), and the list of all named."""
    named: list[int] = []

    class Given(HeldPort):
        def __init__(self) -> None:
            super().__init__()
            port = ports[len(named)] if len(named) < len(ports) else None
            self.port = port or self.port
            named.append(self.port)

    return Given, named


@pytest.mark.parametrize("kind", ["nats", "redis"])
async def test_a_port_that_another_program_has_taken_meanwhile_is_left_to_it(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    try:
        find_broker(kind)
    except LabError as error:
        pytest.skip(str(error))
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        chooser, chosen = given(taken.getsockname()[1])
        monkeypatch.setattr(broker_servers, "HeldPort", chooser)
        server = await BrokerServer.start(kind)
        try:
            assert chosen == [taken.getsockname()[1], server.port]
        finally:
            await server.stop()


@pytest.mark.parametrize("whose", ["name server", "nodes"])
async def test_a_broker_that_is_restarted_takes_another_port_for_itself_if_one_was_taken_meanwhile(
    whose: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """RabbitMQ has two ports for itself, chosen at each start; clients come back to the port they know."""
    try:
        find_broker("rabbitmq")
    except LabError as error:
        pytest.skip(str(error))
    server = await BrokerServer.start("rabbitmq")
    try:
        port = server.port
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))  # and never listens: Erlang would wait for its answer
            # Each start asks for the name server's port, then for the one for nodes.
            taken_port = taken.getsockname()[1]
            place = ["name server", "nodes"].index(whose)
            chooser, chosen = given(*(taken_port if n == place else None for n in range(2)))
            monkeypatch.setattr(broker_servers, "HeldPort", chooser)
            await server.restart()
        assert server.port == port
        assert chosen[place] == taken_port
        assert len(chosen) > 2  # the first start found the port taken
    finally:
        await server.stop()


@needs_held_ports
@pytest.mark.parametrize("kind", ["nats", "redis", "kafka"])
async def test_the_port_of_a_killed_broker_stays_reserved_for_it(kind: str) -> None:
    try:
        find_broker(kind)
    except LabError as error:
        pytest.skip(str(error))
    server = await BrokerServer.start(kind)
    port = server.port
    try:
        server.kill()
        assert port in ports_held_here()
        await server.restart()
        assert server.port == port
    finally:
        await server.stop()
    assert port not in ports_held_here()


@needs_held_ports
async def test_a_broker_whose_kill_fails_releases_its_port(monkeypatch: pytest.MonkeyPatch) -> None:
    try:
        find_broker("redis")
    except LabError as error:
        pytest.skip(str(error))
    server = await BrokerServer.start("redis")

    def refuse() -> None:
        raise PermissionError

    with monkeypatch.context() as patch:
        assert server._child is not None
        patch.setattr(server._child, "kill", refuse)
        with pytest.raises(PermissionError):
            await server.stop()
        assert server.port not in ports_held_here()
    await server.stop()


@pytest.mark.parametrize("kind", ["nats", "redis"])
async def test_the_folder_of_a_broker_that_is_garbage_collected_goes_after_its_process(kind: str) -> None:
    try:
        server = await BrokerServer.start(kind)
    except LabError as error:
        pytest.skip(str(error))
    pid, folder = server.pid, server._folder
    for held in server._held:
        held.close()  # an open socket would warn
    assert folder.is_dir()
    del server
    gc.collect()
    assert not psutil.pid_exists(pid)
    assert not folder.exists()


def test_a_fork_leaves_the_folder_of_its_owners_broker(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    _end_and_remove([], folder, os.getpid() + 1)
    assert folder.is_dir()
    _end_and_remove([], folder, os.getpid())
    assert not folder.exists()
