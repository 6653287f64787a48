"""A port that was free a moment ago, and is not any more."""

from __future__ import annotations

import socket

import pytest

from rtlab.errors import LabError
from rtlab.lab import broker_servers
from rtlab.lab.broker_servers import BrokerServer, find_broker
from rtlab.processes.programs_and_ports import free_port


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
