"""A broker that lets a node in and then ends the link, as RabbitMQ does with a stream half made."""

from __future__ import annotations

from dataclasses import replace

import pytest

from rtlab.server.brokers.carrying.carrier_interface import LinkLost
from rtlab.server.brokers.carrying.driver_interface import SubjectAttachment
from rtlab.server.brokers.carrying.reconnecting_carrier import ReconnectingCarrier
from rtlab.server.brokers.drivers.in_memory_reference import MemoryDriver
from tests.server.brokers.bench import CALM


class EndsTheLink(MemoryDriver):
    """Ends the link at the first `times` attachments."""

    times = 2

    async def attach(self, attachment: SubjectAttachment) -> bool:
        self.times -= 1
        if self.times >= 0:
            raise LinkLost("not yet")
        return await super().attach(attachment)


async def test_the_first_link_is_made_again_when_the_broker_ended_it() -> None:
    driver = EndsTheLink("first link", CALM)
    carrier = ReconnectingCarrier(driver, "first link", CALM)
    await carrier.open()
    try:
        assert carrier.up
        assert driver.times == -1
    finally:
        await carrier.close()


async def test_but_not_for_ever() -> None:
    limits = replace(CALM, connect_timeout=1.0)
    driver = EndsTheLink("never a link", limits)
    driver.times = 1_000_000
    carrier = ReconnectingCarrier(driver, "never a link", limits)
    with pytest.raises(LinkLost, match="not yet"):
        await carrier.open()
    assert driver.times < 1_000_000 - 1
    assert not carrier.up
