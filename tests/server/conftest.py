"""A real server in a child process, and small helpers around bare clients."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
import websockets

TOKEN = "a-token-for-tests"


class Child:
    """One ``python -m rtlab.server``, and what a test asks of it."""

    def __init__(self, *options: str) -> None:
        # A file, because a pipe that nobody reads would stop the server when full.
        self._log = tempfile.TemporaryFile("w+")  # noqa: SIM115 - closed by stop()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "rtlab.server", *options],
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
            env={**os.environ, "RTLAB_TOKEN": TOKEN},
        )
        self.errors: str | None = None
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line:
            raise AssertionError(self._ended())
        self.hello: dict[str, Any] = json.loads(line)
        self.port: int = self.hello["port"]
        self.url = f"http://127.0.0.1:{self.port}"
        self.ws_url = f"ws://127.0.0.1:{self.port}/ws"

    def connect(self, query: str = "", **options: Any) -> websockets.connect:
        """Open a WebSocket of the bare `websockets` library."""
        return websockets.connect(self.ws_url + query, **{"compression": None, **options})

    def stats(self) -> dict[str, Any]:
        """Ask the server what it holds."""
        answer = httpx.get(f"{self.url}/stats", headers={"X-Rtlab-Token": TOKEN}, trust_env=False)
        return answer.raise_for_status().json()

    def stop(self) -> str:
        """Stop the child, once; return what it wrote to stderr."""
        if self.errors is not None:
            return self.errors
        self.process.terminate()
        try:
            self.process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise AssertionError(f"the server did not stop: {self._ended()}") from None
        errors = self._ended()
        assert self.process.returncode == 0, errors
        return errors

    def _ended(self) -> str:
        self.process.communicate()
        with self._log:
            self._log.seek(0)
            self.errors = self._log.read()
        return self.errors


@pytest.fixture
def start() -> Iterator[Callable[..., Child]]:
    """Start servers with options; all are stopped, and none may have complained."""
    children: list[Child] = []

    def start(*options: str) -> Child:
        children.append(Child(*options))
        return children[-1]

    yield start
    for child in children:
        assert child.stop() == ""


@pytest.fixture(scope="module")
def server() -> Iterator[Child]:
    """One server for the tests of a module that need no options."""
    child = Child()
    yield child
    assert child.stop() == ""
