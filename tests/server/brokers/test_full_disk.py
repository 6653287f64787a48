"""A broker that cannot write any more: what is published is refused with its words, or the link is given up.

The limit is that of the process's files (``ulimit -f``): a write fails as it does on a full disk.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from rtlab.errors import LabError
from rtlab.lab.broker_servers import BrokerServer, find_broker
from rtlab.server.brokers.carrier_by_broker_url import carrier_for
from rtlab.server.brokers.room_publishing_interface import BrokerFailed
from tests.server.brokers.bench import CALM, Listener, until

#: Half a megabyte, in blocks of 512 bytes; the signal that comes with it is ignored, so write() fails.
_LITTLE = 'trap "" XFSZ; ulimit -f 1024; exec "$@"'
_BODY = b"x" * 50_000


@pytest.mark.parametrize(
    ("kind", "words"),
    [("redis", "refused the message: MISCONF"), ("nats", "it delivers nothing: .*is its disk full")],
)
async def test_a_full_disk_is_told_to_who_publishes(kind: str, words: str) -> None:
    try:
        find_broker(kind)
    except LabError as error:
        pytest.skip(str(error))
    server = BrokerServer(kind)
    command = server._kind.command
    server._kind = replace(server._kind, command=lambda *where: ["sh", "-c", _LITTLE, "sh", *command(*where)])
    carrier, listener, accepted = (
        carrier_for(server.url, limits=replace(CALM, probe_interval=0.5)),
        Listener(),
        0,
    )

    async def fill() -> None:
        nonlocal accepted
        async with asyncio.timeout(60):
            for _ in range(100):
                await carrier.publish("room", _BODY)
                accepted += 1

    try:
        await server._run()
        await carrier.open()
        await carrier.subscribe("room", listener.hear, listener.hear)
        with pytest.raises(BrokerFailed, match=words):
            await fill()
        await until(lambda: len(listener.bodies) >= accepted)
        assert accepted > 0
        assert listener.bodies[:accepted] == [_BODY] * accepted
    finally:
        await carrier.close()
        await server.stop()
