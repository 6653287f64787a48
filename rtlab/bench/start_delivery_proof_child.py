"""Starts the process of the delivery proof's clients, and exchanges lines of JSON with it."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Awaitable, Callable
from contextlib import suppress
from types import TracebackType
from typing import Final, Self

import msgspec

from rtlab.bench.delivery_proof_child_process import Plan, Record, Said
from rtlab.errors import LabError

__all__ = ["ClientsProcess"]

Relays = dict[str, Callable[[int], Awaitable[int]]]

_LINE_BYTES: Final = 1 << 24
#: Seconds to wait for each line from the clients.
TIMEOUT: Final = 400.0


class ClientsProcess:
    """Starts ``rtlab.bench.delivery_proof_child_process``, and ends it.

    Examples
    --------
    ::

        async with ClientsProcess() as clients:
            await run_round(lab, clients, "websocket", seed=1, count=400, faults=13)

    Attributes
    ----------
    carried : set of str
        Names of the transports that have connected since `begin`.
    """

    def __init__(self) -> None:
        self.carried: set[str] = set()
        self._child: asyncio.subprocess.Process | None = None
        self._reading: asyncio.Task[None] | None = None
        self._words: asyncio.Queue[Said] = asyncio.Queue()
        self._relays: Relays = {}

    async def __aenter__(self) -> Self:
        command = (sys.executable, "-P", "-m", "rtlab.bench.delivery_proof_child_process")
        pipe = asyncio.subprocess.PIPE
        self._child = await asyncio.create_subprocess_exec(
            *command, stdin=pipe, stdout=pipe, limit=_LINE_BYTES, start_new_session=True
        )
        self._reading = asyncio.create_task(self._read(self._child), name="clients of the proof")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        child, reading = self._child, self._reading
        assert child is not None
        assert reading is not None
        if child.returncode is None:
            child.kill()
        await child.wait()
        await asyncio.gather(reading, return_exceptions=True)

    async def _read(self, child: asyncio.subprocess.Process) -> None:
        assert child.stdout is not None
        try:
            while line := await child.stdout.readline():
                said = msgspec.json.decode(line, type=Said)
                if said.word == "carried":
                    self.carried.add(said.text)
                elif said.word == "relay":
                    self._say(await self._relays[said.text](said.port))
                else:
                    self._words.put_nowait(said)
        finally:
            self._words.put_nowait(Said("broke", text="their process has ended"))

    def _say(self, value: object) -> None:
        assert self._child is not None
        assert self._child.stdin is not None
        self._child.stdin.write(msgspec.json.encode(value) + b"\n")

    async def begin(self, plan: Plan, relays: Relays) -> None:
        """Start a round; return when its clients are connected and in the room.

        Parameters
        ----------
        plan : Plan
            What the clients are to do.
        relays : dict of str to callable
            For WebRTC, by delivery mode: points that client's UDP relay at a port of the server, and
            returns the relay's own port.
        """
        self._relays = relays
        self.carried.clear()
        self._say(plan)
        await self.heard("ready")

    async def heard(self, word: str) -> Said:
        """Wait for the clients' next line, which must have this word.

        Raises
        ------
        LabError
            If it has another word, because the round failed.
        """
        async with asyncio.timeout(TIMEOUT):
            said = await self._words.get()
        if said.word != word:
            raise LabError(f"the clients of the proof did not come to {word!r}: {said.text or said.word}")
        return said

    def say(self, word: str) -> None:
        """Send the clients a word, which lets them go on to the next step."""
        self._say(word)

    async def records(self) -> dict[str, Record]:
        """Return what each client saw, by its delivery mode, at the end of a round."""
        return (await self.heard("records")).records

    async def stopped(self, seconds: float) -> None:
        """Stop the whole process for some seconds (SIGSTOP), like a laptop that sleeps."""
        assert self._child is not None
        os.kill(self._child.pid, signal.SIGSTOP)
        try:
            await asyncio.sleep(seconds)
        finally:
            with suppress(ProcessLookupError):
                os.kill(self._child.pid, signal.SIGCONT)
