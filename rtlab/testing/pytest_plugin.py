"""Fixtures for tests of real-time code; pytest finds them wherever rtlab is installed.

Imports nothing of rtlab until a fixture is used. The README has examples to paste.
"""

from __future__ import annotations

import asyncio
import math
import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from rtlab.client.connection import Connection
    from rtlab.faults.seeded_fault_timeline import FaultScript
    from rtlab.lab.lab import Lab
    from rtlab.measure.delivery_ledger import Ledger
    from rtlab.testing.fake_clock import FakeClock
    from rtlab.testing.mock.mock_frames import MakeLink
    from rtlab.testing.mock.mock_script_steps import PeerScript
    from rtlab.testing.mock.mock_websocket import MockWebSocket
    from rtlab.testing.mock.scripted_peer import ScriptedPeer

__all__ = ["MockMaker", "fake_clock", "fault_script", "faulty_lab", "lab", "ledger", "mock_websocket"]


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options ``--rtlab-seed`` and ``--rtlab-pace``."""
    group = parser.getgroup("rtlab", "rtlab: real-time code")
    group.addoption(
        "--rtlab-seed", type=int, default=0, help="source of everything random in rtlab's fixtures"
    )
    group.addoption("--rtlab-pace", help="quick, normal, slow, or what durations are multiplied by")


def pytest_configure(config: pytest.Config) -> None:
    """Export the pace as ``RTLAB_PACE``, so that child processes have it too."""
    pace: Any = config.getoption("rtlab_pace", None)
    if pace is None:
        return
    if pace not in ("quick", "normal", "slow"):
        try:
            number = float(pace)
        except ValueError:
            number = math.nan
        if not 0 < number < math.inf:
            raise pytest.UsageError(
                f"--rtlab-pace: expected quick, normal, slow or a positive number, got {pace!r}"
            )
    os.environ["RTLAB_PACE"] = pace


def _seed(request: pytest.FixtureRequest) -> int:
    seed: Any = request.config.getoption("rtlab_seed", 0)
    return int(seed)


@pytest.fixture
def fake_clock() -> FakeClock:
    """A `FakeClock`: ``fake_clock.run(…)`` in a test that is no coroutine."""
    from rtlab.testing.fake_clock import FakeClock

    return FakeClock()


class MockMaker:
    """The value of the `mock_websocket` fixture: makes mocks, and checks their peers when the test ends."""

    def __init__(self) -> None:
        self.peers: list[ScriptedPeer] = []

    def peer(self, *scripts: PeerScript, link: MakeLink | None = None) -> ScriptedPeer:
        """Make a peer whose connections follow these scripts."""
        from rtlab.testing.mock.scripted_peer import ScriptedPeer

        self.peers.append(ScriptedPeer(*scripts, link=link))
        return self.peers[-1]

    def __call__(self, *scripts: PeerScript, link: MakeLink | None = None, **options: Any) -> MockWebSocket:
        """Make a `MockWebSocket`; needs a running event loop."""
        from rtlab.testing.mock.mock_websocket import MockWebSocket

        return MockWebSocket(self.peer(*scripts, link=link), **options)

    def connection(self, *scripts: PeerScript, link: MakeLink | None = None, **options: Any) -> Connection:
        """Make an rtlab `Connection` to a peer with these scripts; see `mock_connection`."""
        from rtlab.testing.mock.transport_on_mock_websocket import mock_connection

        return mock_connection(self.peer(*scripts, link=link), **options)

    def check(self) -> None:
        """Raise `ScriptFailed` if a client did not do what its script expected."""
        for peer in self.peers:
            peer.check()


@pytest.fixture
def mock_websocket() -> Iterator[MockMaker]:
    """Makes mocks: ``mock_websocket(PeerScript()…)``; a script whose expectation failed fails the test."""
    maker = MockMaker()
    yield maker
    maker.check()


@pytest.fixture
def fault_script(request: pytest.FixtureRequest) -> FaultScript:
    """An empty `FaultScript` with the run's seed: ``fault_script.cut(1.0)`` and so on."""
    from rtlab.faults.seeded_fault_timeline import FaultScript

    return FaultScript(seed=_seed(request))


@pytest.fixture
def ledger() -> Ledger:
    """An empty `Ledger`."""
    from rtlab.measure.delivery_ledger import Ledger

    return Ledger()


def _ended(lab: Lab) -> None:
    """Stop a lab that the test left running."""
    if lab in type(lab).running():
        loop = asyncio.new_event_loop()
        try:
            loop.run_until_complete(lab.stop())
        finally:
            loop.close()


@pytest.fixture
def lab(request: pytest.FixtureRequest) -> Iterator[Lab]:
    """A `Lab` to start: ``async with lab: …`` in a coroutine; before that it says so."""
    from rtlab.lab.lab import Lab

    made = Lab(seed=_seed(request))
    yield made
    _ended(made)


@pytest.fixture
def faulty_lab(request: pytest.FixtureRequest) -> Iterator[Lab]:
    """As `lab`, with a fault proxy in front: ``faulty_lab.faults``."""
    from rtlab.lab.lab import Lab

    made = Lab(faults=True, seed=_seed(request))
    yield made
    _ended(made)
