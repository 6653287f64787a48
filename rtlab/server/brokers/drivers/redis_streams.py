"""Redis streams: each subject is a stream, which stores its messages."""

# The client library's annotations are incomplete.
# pyright: reportUnknownMemberType=false

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, Final, cast
from urllib.parse import SplitResult

from redis.exceptions import ReadOnlyError, RedisError

from rtlab.errors import describe
from rtlab.server.brokers.carrying.carrier_interface import Capabilities, LinkLost
from rtlab.server.brokers.carrying.carrier_limits import CarrierLimits
from rtlab.server.brokers.carrying.driver_interface import Outgoing, Stored, SubjectAttachment
from rtlab.server.brokers.drivers.redis_link import RedisLink
from rtlab.server.brokers.room_publishing_interface import BrokerFailed

__all__ = ["RedisStreamsDriver"]

#: Seconds within which a repeated ``message_id`` is dropped.
_DEDUPE_WINDOW: Final = 120
#: Position before the first entry of a stream.
_START: Final = b"0-0"

#: Script that stores a message unless its id is known: one atomic step, whatever happens to the link.
#: An entry's id begins with the millisecond. So a stream that is created anew in the millisecond in which it
#: was deleted would have its first entries before those that readers have seen: it begins behind the last
#: id, which is kept beside it.
_ADD: Final = """
if ARGV[2] ~= '' then
  if not redis.call('SET', KEYS[1] .. ':id:' .. ARGV[2], '1', 'NX', 'EX', ARGV[3]) then return false end
end
local id = '*'
if redis.call('EXISTS', KEYS[1]) == 0 then
  local last = redis.call('GET', KEYS[1] .. ':last')
  if last then
    local now = redis.call('TIME')
    local behind = tonumber(string.match(last, '^%d+')) + 1
    id = string.format('%.0f-0', math.max(now[1] * 1000 + math.floor(now[2] / 1000), behind))
  end
end
id = redis.call('XADD', KEYS[1], 'MAXLEN', '~', ARGV[4], id, 'b', ARGV[1], 'i', ARGV[2])
redis.call('SET', KEYS[1] .. ':last', id, 'EX', ARGV[5])
redis.call('EXPIRE', KEYS[1], ARGV[5])
return id
"""


class RedisStreamsDriver:
    """See `BrokerDriver`. One connection publishes; another waits for all subjects at once (``XREAD BLOCK``).

    Parameters
    ----------
    parts : SplitResult
        The broker's URL.
    limits : CarrierLimits
        How much history is kept.
    """

    def __init__(self, parts: SplitResult, limits: CarrierLimits) -> None:
        self._link = RedisLink(parts, limits)
        self.label = f"Redis at {self._link.host}"
        self.max_bytes: int | None = None
        # Whether messages survive a restart is the server's choice: `connect` asks the server.
        self.capabilities = Capabilities(
            ordered=True, replay=True, dedupe=True, delivery="at_least_once", survives_restart=False
        )
        self._limits = limits
        self._lost: Callable[[str], None] = lambda _: None
        self._heard: dict[bytes, SubjectAttachment] = {}
        self._reading: asyncio.Task[None] | None = None
        self._changes = self._seen = 0
        self._script = ""
        self._life = b""
        self._forgot = False

    async def connect(self, lost: Callable[[str], None]) -> None:
        """See `BrokerDriver.connect`."""
        self._lost = lost
        self._heard.clear()
        server = await self._link.connect()
        self.max_bytes = self._link.max_bytes
        self.capabilities = Capabilities(
            ordered=True, replay=True, dedupe=True, delivery="at_least_once", survives_restart=server.durable
        )
        self._forgot = self._life not in (b"", server.life) and not server.durable
        self._life = server.life
        self._script = await self._link.command("SCRIPT LOAD", _ADD)

    async def disconnect(self) -> None:
        """See `BrokerDriver.disconnect`."""
        reading, self._reading = self._reading, None
        if reading is not None:
            reading.cancel()
            await asyncio.wait((reading,))
        await self._link.disconnect()

    async def send(self, batch: Sequence[Outgoing]) -> list[Exception | None]:
        """See `BrokerDriver.send`."""
        keep = (_DEDUPE_WINDOW, self._limits.history_messages, self._limits.history_seconds)
        answers = await self._link.pipeline(
            ("EVALSHA", self._script, 1, one.name, one.body, one.message_id or "", *keep) for one in batch
        )
        results: list[Exception | None] = []
        for answer in answers:
            if isinstance(answer, ReadOnlyError):
                self._lost("the server is read-only: a primary that was demoted")
            if isinstance(answer, Exception):
                results.append(BrokerFailed(f"{self.label} refused the message: {answer}"))
            else:
                results.append(None)
        return results

    async def attach(self, attachment: SubjectAttachment) -> bool:
        """See `BrokerDriver.attach`."""
        whole = True
        since: bytes | None = attachment.position
        if since is not None:
            whole = not self._forgot and await self._is_stored(attachment.name, since)
        if since is None or not whole:
            newest = await self._link.command("XREVRANGE", attachment.name, "+", "-", "COUNT", 1)
            attachment.position = newest[0][0] if newest else _START
        self._heard[attachment.name.encode()] = attachment
        await self._read_anew()
        return whole

    async def _is_stored(self, name: str, position: bytes) -> bool:
        """Return whether nothing after a position was removed: true if the entry there still exists."""
        if position == _START:
            found = await self._link.command("XRANGE", name, "-", "+", "COUNT", 1)
            if not found:
                return True
            info = cast("list[Any]", await self._link.command("XINFO STREAM", name))
            facts = dict(zip(info[::2], info[1::2], strict=False))
            return facts.get(b"max-deleted-entry-id", _START) == _START
        return bool(await self._link.command("XRANGE", name, position, position))

    async def detach(self, attachment: SubjectAttachment) -> None:
        """See `BrokerDriver.detach`."""
        self._heard.pop(attachment.name.encode(), None)
        await self._read_anew()

    async def _read_anew(self) -> None:
        """Restart the reader's blocking call, and return when it waits for the present set of subjects."""
        self._changes += 1
        if self._reading is None or self._reading.done():
            self._reading = asyncio.create_task(self._read_all(), name=f"reader of {self.label}")
        pause = 0.0
        while self._seen < self._changes and not self._reading.done():
            await self._link.wake_reader()  # does nothing while its call is on its way to the server
            await asyncio.sleep(pause)
            pause = 0.001

    async def _read_all(self) -> None:
        """Deliver new entries; one blocking call waits for all subjects, and is repeated when they change."""
        try:
            while names := list(self._heard):
                self._seen = self._changes
                places = [self._heard[name].position for name in names]
                command = ("XREAD", "COUNT", 256, "BLOCK", 0, "STREAMS", *names, *places)
                for name, entries in await self._link.wait_for(*command):
                    attachment = self._heard.get(name)
                    if attachment is None:
                        continue
                    for place, fields in entries:
                        attachment.deliver(*_stored(fields), place)
        except (RedisError, OSError, LinkLost) as error:
            self._lost(str(error) or describe(error))

    async def read(self, name: str, limit: int) -> list[Stored]:
        """See `BrokerDriver.read`."""
        if limit < 1:
            return []
        found = await self._link.command("XREVRANGE", name, "+", "-", "COUNT", limit)
        return [_stored(fields) for _, fields in reversed(found)]

    async def check(self) -> None:
        """See `BrokerDriver.check`."""
        await self._link.check()


def _stored(fields: list[bytes]) -> Stored:
    return Stored(fields[1], fields[3].decode() or None)
