"""What the contract is checked with: carriers of one broker whose links can be cut and muted."""

from __future__ import annotations

import asyncio
import itertools
import uuid
from collections.abc import Callable, Sequence

from rtlab.lab.broker_servers import BrokerServer
from rtlab.server.brokers.carrying.carrier_interface import Capabilities, Carried, LinkLost
from rtlab.server.brokers.carrying.carrier_limits import CarrierLimits
from rtlab.server.brokers.carrying.driver_interface import BrokerDriver, Outgoing, Stored, SubjectAttachment
from rtlab.server.brokers.carrying.reconnecting_carrier import ReconnectingCarrier

PATIENCE = 60.0
#: Probes and waits must not end on a starved machine, where RabbitMQ takes half a minute to start, but
#: where they are what is tested.
CALM = CarrierLimits(probe_interval=60.0, answer_timeout=60.0, wait_timeout=60.0, longest_pause=0.1)


class Muted:
    """Stands before an attachment: hands nothing on while the link is muted."""

    def __init__(self, attachment: SubjectAttachment, link: Link) -> None:
        self.attachment, self.link = attachment, link
        self.name = attachment.name

    @property
    def position(self):
        return self.attachment.position

    @position.setter
    def position(self, value) -> None:
        self.attachment.position = value

    def deliver(self, body: bytes, message_id: str | None, position=None) -> None:
        if not self.link.muted:
            self.attachment.deliver(body, message_id, position)


class Link:
    """A driver whose connection can be cut (and refused), or muted: it takes, and delivers nothing."""

    def __init__(self, driver: BrokerDriver) -> None:
        self.driver = driver
        self.is_cut = self.muted = False
        self.lost: Callable[[str], None] = lambda _: None
        self.through: dict[SubjectAttachment, Muted] = {}

    def __getattr__(self, name: str):
        return getattr(self.driver, name)

    async def connect(self, lost: Callable[[str], None]) -> None:
        if self.is_cut:
            raise ConnectionRefusedError("cut")
        self.muted = False
        self.lost = lost
        await self.driver.connect(lost)

    async def attach(self, attachment: SubjectAttachment) -> bool:
        self.through[attachment] = Muted(attachment, self)
        return await self.driver.attach(self.through[attachment])

    async def detach(self, attachment: SubjectAttachment) -> None:
        await self.driver.detach(self.through.pop(attachment))

    async def send(self, batch: Sequence[Outgoing]) -> list[Exception | None]:
        if self.is_cut:
            raise LinkLost("cut")
        return await self.driver.send(batch)

    async def read(self, name: str, limit: int) -> list[Stored]:
        if self.is_cut:
            raise LinkLost("cut")
        return await self.driver.read(name, limit)


class Node:
    """One carrier and its link."""

    def __init__(self, carrier: ReconnectingCarrier, link: Link) -> None:
        self.carrier, self.link = carrier, link
        self.events: list[tuple[bool, str]] = []
        carrier.on_link(lambda up, why: self.events.append((up, why)))

    async def cut(self) -> None:
        """End the link, and refuse it from now on."""
        self.link.is_cut = True
        self.link.lost("cut")
        await until(lambda: not self.carrier.up)

    async def mend(self) -> None:
        self.link.is_cut = False
        await until(lambda: self.carrier.up)


class Listener:
    """What one subscription heard, gaps among it."""

    def __init__(self) -> None:
        self.heard: list[Carried | str] = []
        self.changed = asyncio.Event()

    def hear(self, message: Carried | str) -> None:
        self.heard.append(message)
        self.changed.set()

    @property
    def bodies(self) -> list[bytes]:
        return [one.body for one in self.heard if isinstance(one, Carried)]

    @property
    def gaps(self) -> list[str]:
        return [one for one in self.heard if isinstance(one, str)]

    async def until(self, done: Callable[[], bool]) -> None:
        async with asyncio.timeout(PATIENCE):
            while not done():
                self.changed.clear()
                await self.changed.wait()


async def until(done: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not done():
            await asyncio.sleep(0.002)


class Bench:
    """Two nodes on one broker, `a` and `b`, and more where a check wants them."""

    def __init__(
        self, make: Callable[[str, CarrierLimits], BrokerDriver], server: BrokerServer | None = None
    ) -> None:
        self._make = make
        self.server = server
        self.namespace = f"bench {uuid.uuid4().hex[:8]}"
        self._numbers = itertools.count()
        self._nodes: list[Node] = []
        self.a: Node
        self.b: Node

    async def __aenter__(self) -> Bench:
        self.a, self.b = await self.node(), await self.node()
        return self

    async def __aexit__(self, *_: object) -> None:
        await asyncio.gather(*(node.carrier.close() for node in self._nodes))

    @property
    def capabilities(self) -> Capabilities:
        return self.a.carrier.capabilities

    async def node(self, limits: CarrierLimits = CALM, namespace: str | None = None) -> Node:
        namespace = namespace or self.namespace
        link = Link(self._make(namespace, limits))
        node = Node(ReconnectingCarrier(link, namespace, limits), link)
        self._nodes.append(node)
        await node.carrier.open()
        return node

    def subject(self, text: str = "room") -> str:
        return f"{text} {next(self._numbers)}"

    async def listen(self, node: Node, subject: str) -> Listener:
        listener = Listener()
        await node.carrier.subscribe(subject, listener.hear, listener.hear)
        return listener

    async def publish(self, node: Node, subject: str, bodies: Sequence[bytes]) -> None:
        async with asyncio.timeout(PATIENCE):
            await asyncio.gather(*(node.carrier.publish(subject, body) for body in bodies))


def numbered(count: int, start: int = 0, word: str = "m") -> list[bytes]:
    """Bodies as rooms make them: an epoch of this run, and a dense offset."""
    return [b"%s %d" % (word.encode(), number) for number in range(start, start + count)]
