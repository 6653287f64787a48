"""Eight brokers that break the contract, each in one way, and the laws that have to notice."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from rtlab.server.brokers.carrying.driver_interface import Outgoing, Stored, SubjectAttachment
from rtlab.server.brokers.drivers.in_memory_reference import MemoryDriver

PROBE = "._probe"


class Between:
    """Stands before an attachment, and decides what is delivered to it."""

    def __init__(self, attachment: Any, deliver: Callable[..., None]) -> None:
        self.attachment, self.name, self.decide = attachment, attachment.name, deliver
        self.seen = 0
        self.held: tuple[Any, ...] | None = None

    @property
    def position(self):
        return self.attachment.position

    @position.setter
    def position(self, value) -> None:
        self.attachment.position = value

    def deliver(self, *message: Any) -> None:
        if self.name.endswith(PROBE):
            self.attachment.deliver(*message)
        else:
            self.seen += 1
            self.decide(self, *message)


class Delivers(MemoryDriver):
    """Delivers wrongly; what exactly is up to `decide`."""

    def decide(self, between: Between, *message: Any) -> None:
        raise NotImplementedError

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.between: dict[SubjectAttachment, Between] = {}

    async def attach(self, attachment: SubjectAttachment) -> bool:
        self.between[attachment] = Between(attachment, self.decide)
        return await super().attach(self.between[attachment])

    async def detach(self, attachment: SubjectAttachment) -> None:
        await super().detach(self.between.pop(attachment, attachment))


class DropsOne(Delivers):
    def decide(self, between: Between, *message: Any) -> None:
        if between.seen != 10:
            between.attachment.deliver(*message)


class DoublesOne(Delivers):
    def decide(self, between: Between, *message: Any) -> None:
        for _ in range(2 if between.seen == 10 else 1):
            between.attachment.deliver(*message)


class SwapsTwo(Delivers):
    def decide(self, between: Between, *message: Any) -> None:
        if between.seen == 10:
            between.held = message
            return
        between.attachment.deliver(*message)
        if between.held is not None:
            between.attachment.deliver(*between.held)
            between.held = None


class WrongEpoch(Delivers):
    """Delivers a message of an older life of the room, under the number of the present one."""

    def decide(self, between: Between, body: bytes, *rest: Any) -> None:
        old = between.seen == 5
        between.attachment.deliver(body.replace(b"m ", b"old ") if old else body, *rest)


class ForgetsOnReconnect(MemoryDriver):
    async def attach(self, attachment: SubjectAttachment) -> bool:
        attachment.position = None
        return await super().attach(attachment)


class AcknowledgesAndLoses(MemoryDriver):
    taken = 0

    async def send(self, batch: Sequence[Outgoing]) -> list[Exception | None]:
        kept: list[Outgoing] = []
        for one in batch:
            self.taken += not one.name.endswith(PROBE)
            if one.name.endswith(PROBE) or self.taken % 10:
                kept.append(one)
        await super().send(kept)
        return [None] * len(batch)


class StaleHistory(MemoryDriver):
    async def read(self, name: str, limit: int) -> list[Stored]:
        return (await super().read(name, limit + 1))[:-1]


class HidesItsSilence(MemoryDriver):
    """Its probes come back another way than messages do, so that nobody notices when those stop."""

    async def attach(self, attachment: SubjectAttachment) -> bool:
        if attachment.name.endswith(PROBE):
            attachment = getattr(attachment, "attachment", attachment)
        return await super().attach(attachment)

    async def detach(self, attachment: SubjectAttachment) -> None:
        await super().detach(getattr(attachment, "attachment", attachment))
        await super().detach(attachment)


#: Fault → a law that notices it.
FAULTY: dict[type[MemoryDriver], str] = {
    DropsOne: "nothing_is_lost_and_nothing_comes_twice",
    DoublesOne: "nothing_is_lost_and_nothing_comes_twice",
    SwapsTwo: "one_publishers_order_is_kept",
    WrongEpoch: "nothing_is_lost_and_nothing_comes_twice",
    ForgetsOnReconnect: "others_messages_during_an_outage",
    AcknowledgesAndLoses: "nothing_is_lost_and_nothing_comes_twice",
    StaleHistory: "history_holds_all_that_was_acknowledged_before",
    HidesItsSilence: "a_silent_link_is_found_and_replaced",
}
