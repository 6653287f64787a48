"""A port that was free a moment ago, and is not any more."""

from __future__ import annotations

import socket

import pytest

from rtlab.errors import LabError
from rtlab.lab import broker_servers, rabbitmq_server
from rtlab.lab.broker_servers import BrokerServer, find_broker
from rtlab.processes.programs_and_ports import free_port
from tests.kernel_ports import kernel_ports


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
        ports = [taken.getsockname()[1]]
        monkeypatch.setattr(broker_servers, "free_port", lambda: ports.pop() if ports else free_port())
        server = await BrokerServer.start(kind)
        try:
            assert server.port != taken.getsockname()[1]
        finally:
            await server.stop()


async def test_a_broker_that_is_restarted_takes_another_port_for_itself_if_one_was_taken_meanwhile(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """RabbitMQ has a port for other nodes, chosen at each start; clients come back to the port they know."""
    try:
        find_broker("rabbitmq")
    except LabError as error:
        pytest.skip(str(error))
    server = await BrokerServer.start("rabbitmq")
    try:
        port = server.port
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            taken.listen()
            # Each start asks for the name server's port, then for the one for nodes, which is taken. The
            # first is from where the system takes none for connections, so that nobody takes that one too.
            ports = [int(kernel_ports()["shell_port"]), taken.getsockname()[1]]
            chosen: list[int] = []

            def choose() -> int:
                chosen.append(ports[len(chosen)] if len(chosen) < len(ports) else free_port())
                return chosen[-1]

            monkeypatch.setattr(rabbitmq_server, "free_port", choose)
            await server.restart()
        assert server.port == port
        assert chosen[:2] == ports
        assert len(chosen) > 2  # the first start found the port taken
    finally:
        await server.stop()
