"""Two connections to one Redis server: one for commands, one for commands that block."""

# The client library's annotations are incomplete.
# pyright: reportUnknownMemberType=false

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterable
from typing import Any, Final, NamedTuple
from urllib.parse import SplitResult, unquote

from redis.asyncio.connection import Connection
from redis.exceptions import (
    AuthenticationError,
    AuthorizationError,
    InvalidResponse,
    NoPermissionError,
    RedisError,
    ResponseError,
)
from redis.exceptions import ConnectionError as RedisConnectionError

from rtlab.server.brokers.carrying.carrier_interface import LinkLost
from rtlab.server.brokers.carrying.carrier_limits import CarrierLimits
from rtlab.server.brokers.room_publishing_interface import BrokerFailed

__all__ = ["RedisLink", "ServerFacts"]

#: The largest value that Redis takes with its default of ``proto-max-bulk-len``.
_MAX_BYTES: Final = 512 * 1024 * 1024


class ServerFacts(NamedTuple):
    """What the server reports about itself.

    Parameters
    ----------
    life : bytes
        The server's ``run_id``, which changes with each start.
    durable : bool
        Whether the server logs each write to a file (``appendonly yes``).
    """

    life: bytes
    durable: bool


class RedisLink:
    """One connection for commands, sent in order, and one for commands that block.

    Parameters
    ----------
    parts : SplitResult
        The server's URL.
    limits : CarrierLimits
        Timeouts.
    """

    def __init__(self, parts: SplitResult, limits: CarrierLimits) -> None:
        self.host = f"{parts.hostname or '127.0.0.1'}:{parts.port or 6379}"
        self.max_bytes = _MAX_BYTES
        self._limits = limits
        self._options: dict[str, Any] = {
            "host": parts.hostname or "127.0.0.1",
            "port": parts.port or 6379,
            "db": int(parts.path.strip("/") or 0),
            "username": unquote(parts.username) if parts.username else None,
            "password": unquote(parts.password) if parts.password else None,
            "socket_connect_timeout": limits.connect_timeout,
            "socket_timeout": None,
            "protocol": 2,
        }
        self._commands: Connection | None = None
        self._waiter: Connection | None = None
        self._waiter_id = 0
        self._turn = asyncio.Lock()

    async def connect(self) -> ServerFacts:
        """Open both connections.

        Returns
        -------
        ServerFacts

        Raises
        ------
        BrokerFailed
            When no Redis server answers, it refuses the password, it is only a replica, or it still loads
            its data; the last two are a `LinkLost`.
        """
        try:
            self._turn = asyncio.Lock()
            self._commands, self._waiter = Connection(**self._options), Connection(**self._options)
            await self._commands.connect()
            await self._waiter.connect()
            await self._waiter.send_command("CLIENT", "ID")
            number = await self.heard()
            self._waiter_id = int(number)
            facts = await self._facts()
            await self.check()
        except (AuthenticationError, AuthorizationError, NoPermissionError) as error:
            raise BrokerFailed(f"Redis at {self.host} refuses the name or the password: {error}") from error
        except InvalidResponse as error:
            raise BrokerFailed(f"who listens at {self.host} does not speak Redis's protocol") from error
        except RedisConnectionError as error:
            if "refused" in str(error) or "111" in str(error):
                raise ConnectionRefusedError(str(error)) from error
            raise BrokerFailed(f"could not connect to Redis at {self.host}: {error}") from error
        except ResponseError as error:
            if "NOAUTH" in str(error):
                raise BrokerFailed(f"Redis at {self.host} wants a password: put it into the URL") from error
            raise
        return facts

    async def _facts(self) -> ServerFacts:
        info = await self.command("INFO")
        lines = dict(line.split(b":", 1) for line in info.splitlines() if b":" in line)
        if lines.get(b"loading", b"0") != b"0":  # meanwhile it reports `aof_enabled` as 0
            raise LinkLost(f"the server at {self.host} still loads its data")
        return ServerFacts(lines.get(b"run_id", b""), lines.get(b"aof_enabled") == b"1")

    async def check(self) -> None:
        """Raise `LinkLost` when the server is a replica: what is published there reaches nobody else."""
        role = await self.command("ROLE")
        if role[0] != b"master":
            raise LinkLost(f"the server at {self.host} is a replica: a primary that was demoted")

    async def disconnect(self) -> None:
        """End both connections."""
        connections = (self._commands, self._waiter)
        self._commands = self._waiter = None
        for connection in connections:
            if connection is not None:
                with contextlib.suppress(RedisError, OSError):
                    await connection.disconnect(nowait=True)

    async def command(self, *words: Any) -> Any:
        """Send one command, and return its answer.

        Parameters
        ----------
        *words
            The command.
        """
        (answer,) = await self.pipeline([words])
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def pipeline(self, commands: Iterable[tuple[Any, ...]]) -> list[Any]:
        """Send commands in their order, and return their answers, errors included.

        Parameters
        ----------
        commands : iterable of tuple
            The commands.

        Returns
        -------
        list
            For each command its answer, or the exception with which the server refused it.
        """
        connection: Any = _open(self._commands)
        listed = list(commands)
        async with self._turn:
            answered = False
            try:
                await connection.send_packed_command(connection.pack_commands(listed))
                answers: list[Any] = []
                for _ in listed:
                    try:
                        answers.append(await connection.read_response())
                    except ResponseError as error:
                        answers.append(error)
                answered = True
            finally:
                if not answered:  # cancelled half way: the next answer would be another command's
                    await connection.disconnect(nowait=True)
        return answers

    async def wait_for(self, *words: Any) -> Any:
        """Send a command that blocks, on the second connection, and wait for its answer.

        Parameters
        ----------
        *words
            The command.

        Returns
        -------
        list
            The answer; empty if `wake_reader` ended the wait.
        """
        await self.tell_waiter(*words)
        return await self.heard() or ()

    async def tell_waiter(self, *words: Any) -> None:
        """Send a command on the second connection; `heard` reads its answer.

        Parameters
        ----------
        *words
            The command.
        """
        await _open(self._waiter).send_command(*words)

    async def heard(self) -> Any:
        """Return the next answer on the second connection."""
        connection: Any = _open(self._waiter)
        return await connection.read_response()

    async def wake_reader(self) -> None:
        """End the wait of `wait_for` (``CLIENT UNBLOCK``)."""
        await self.command("CLIENT UNBLOCK", self._waiter_id)


def _open(connection: Connection | None) -> Connection:
    """Return a connection if it is open: the client library would silently reopen a closed one."""
    if connection is None or not connection.is_connected:
        raise LinkLost("the connection ended")
    return connection
