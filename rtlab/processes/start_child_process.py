"""Starts and stops child processes, which never outlive their parent.

When this process ends, by whatever means, its children end in one of two ways. Normally, they
end by themselves: each child's standard input is a pipe that this process holds open and never
writes to. rtlab's own children watch this pipe and their parent's process id
(`rtlab.processes.parent_watch`); third-party programs run under ``rtlab.processes.run_third_party_program``,
which watches for them. A child that cannot end itself, because it is suspended or busy, is killed
by `rtlab.processes.orphan_reaper`. Each child leads its own session, so that *Interrupt Kernel*
reaches only the kernel.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import weakref
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import IO, Final

from rtlab.errors import LabError
from rtlab.processes import orphan_reaper
from rtlab.processes.find_program import find_program

__all__ = ["Child"]

_POLL: Final = 0.01
_TAIL_LINES: Final = 12
_TAIL_BYTES: Final = 8192
#: rtlab's own children open no TLS connections, but aiohttp would load the machine's certificate
#: authorities on import, which takes a fifth of a child's start.
_NO_CERTIFICATES: Final = {"SSL_CERT_FILE": os.devnull, "SSL_CERT_DIR": os.devnull}


def _end(process: subprocess.Popen[bytes], output: IO[bytes], errors: IO[bytes]) -> None:
    """Kill the child and its whole process group at once, and collect its exit code."""
    # In a fork of the owner `poll` never returns None, so a fork does not kill the owner's children.
    if process.poll() is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    orphan_reaper.forget(process.pid)
    if process.stdin is not None:
        process.stdin.close()  # not before the kill: at end-of-file the child starts its graceful stop
    output.close()
    errors.close()


class Child:
    """One child process, which ends when this object is stopped or garbage collected, or its parent ends.

    Parameters
    ----------
    name : str
        What people call it: ``"server"``, ``"redis"``.
    argv : sequence of str
        The command.
    environment : mapping of str to str, optional
        Environment variables to add to those of this process.

    Notes
    -----
    The child's output goes to unnamed temporary files rather than pipes: nothing has to
    read them, and no file is left after a crash.
    """

    def __init__(self, name: str, argv: Sequence[str], environment: Mapping[str, str] | None = None) -> None:
        self.name = name
        #: The port on which the child listens; 0 until it has announced it.
        self.port = 0
        #: Whether `stop` was called, so that its end is no failure.
        self.stopped = False
        self._output = tempfile.TemporaryFile()  # noqa: SIM115 - closed by _end
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115
        self._process = subprocess.Popen(
            argv,
            env={**os.environ, **(environment or {})},
            stdin=subprocess.PIPE,
            stdout=self._output,
            stderr=self._errors,
            start_new_session=True,
        )
        self._finalizer = weakref.finalize(self, _end, self._process, self._output, self._errors)
        try:
            orphan_reaper.watch(self._process.pid)
        except BaseException:
            self._finalizer()
            raise

    @classmethod
    def module(
        cls,
        name: str,
        module: str,
        *arguments: str,
        token: str = "",
        environment: Mapping[str, str] | None = None,
    ) -> Child:
        """Start one of rtlab's own modules, which follows the child protocol.

        Parameters
        ----------
        name : str
            What people call it.
        module : str
            Name of the module, for ``python -m``.
        *arguments : str
            Command-line options of the module.
        token : str
            The token of its admin routes; empty for none. It is passed in the environment,
            which other users cannot read, unlike a command line.
        environment : mapping of str to str, optional
            Environment variables to add to those of this process.

        Returns
        -------
        Child
        """
        # -P: the notebook's folder must not shadow the standard library.
        command = [sys.executable, "-P", "-m", module, "--watch-fd", "0", *arguments]
        secret = {"RTLAB_TOKEN": token} if token else {}
        return cls(name, command, environment=_NO_CERTIFICATES | secret | dict(environment or {}))

    @classmethod
    def guarded(cls, name: str, argv: Sequence[str], environment: Mapping[str, str] | None = None) -> Child:
        """Start a third-party program under a guard.

        Parameters
        ----------
        name : str
            What people call it.
        argv : sequence of str
            The command; `find_program` finds the program.
        environment : mapping of str to str, optional
            Environment variables to add to those of this process.

        Returns
        -------
        Child

        Raises
        ------
        LabError
            When the program is not installed.
        """
        program = find_program(argv[0])
        if program is None:
            raise LabError(f"{argv[0]} is not installed: `rtlab doctor` says how to get it")
        return cls.module(
            name, "rtlab.processes.run_third_party_program", "--", program, *argv[1:], environment=environment
        )

    def __repr__(self) -> str:
        return f"<Child: {self.name}, {'running' if self.alive else 'ended'}>"

    @property
    def pid(self) -> int:
        """The process id, which is also the id of its process group and session."""
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Whether the child runs."""
        return self._process.poll() is None

    @property
    def returncode(self) -> int | None:
        """The exit code; the negative number of the signal that killed the child; None while it runs."""
        return self._process.poll()

    def last_lines(self, count: int = _TAIL_LINES) -> str:
        """Return the last lines that the child wrote to standard error.

        Parameters
        ----------
        count : int
            How many lines at most.

        Returns
        -------
        str
            Empty when the child wrote nothing, or was stopped.
        """
        if self._errors.closed:
            return ""
        # pread leaves the file's position alone, which the child shares.
        descriptor = self._errors.fileno()
        start = max(0, os.fstat(descriptor).st_size - _TAIL_BYTES)
        text = os.pread(descriptor, _TAIL_BYTES, start).decode(errors="replace")
        return "\n".join(text.strip().splitlines()[-count:])

    def check(self) -> None:
        """Raise `LabError`, with the child's last lines, when it has ended."""
        code = self.returncode
        if code is None:
            return
        how = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
        lines = self.last_lines()
        raise LabError(f"the {self.name} {how}" + (f"; its last lines:\n{lines}" if lines else ""))

    async def until(self, ready: Callable[[], Awaitable[bool]], timeout: float) -> None:
        """Wait until the child is ready.

        Parameters
        ----------
        ready : coroutine function
            Called every 10 ms; returns whether the child is ready.
        timeout : float
            Seconds for the whole wait.

        Raises
        ------
        LabError
            When the child ended, or was not ready within `timeout`.
        """
        deadline = time.monotonic() + timeout
        while not await ready():
            self.check()
            if time.monotonic() > deadline:
                lines = self.last_lines()
                raise LabError(
                    f"the {self.name} was not ready within {timeout:g} s: `rtlab doctor` checks the machine"
                    + (f"; its last lines:\n{lines}" if lines else "")
                )
            await asyncio.sleep(_POLL)

    async def announced(self, timeout: float) -> int:
        """Wait for the line of JSON that rtlab's own children print when they listen.

        Parameters
        ----------
        timeout : float
            Seconds for the whole wait.

        Returns
        -------
        int
            The port on which the child listens.

        Raises
        ------
        LabError
            When the child ended, took longer than `timeout`, or printed something else.
        """
        line = b""

        async def printed() -> bool:
            nonlocal line
            line, newline, _ = os.pread(self._output.fileno(), 4096, 0).partition(b"\n")
            return bool(newline)

        await self.until(printed, timeout)
        try:
            self.port = int(json.loads(line)["port"])
        except (ValueError, KeyError, TypeError):
            raise LabError(
                f"the {self.name} should have announced its port, it printed {line!r:.200}"
            ) from None
        return self.port

    async def stop(self, timeout: float) -> None:
        """Ask the child to stop (SIGTERM), and kill it if it does not in time. Safe to repeat.

        Parameters
        ----------
        timeout : float
            Seconds that the child may take to end before it is killed.
        """
        self.stopped = True
        if not self._finalizer.alive:
            return
        try:
            if self.alive:
                self._process.terminate()
            deadline = time.monotonic() + timeout
            while self.alive and time.monotonic() < deadline:
                await asyncio.sleep(_POLL)
        finally:
            self._finalizer()

    def kill(self) -> None:
        """Kill the child and its whole process group at once (SIGKILL). Safe to repeat."""
        self._finalizer()
