"""The plugin's fixtures, from this tree: also where the package's metadata was installed without them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import settings

from rtlab.processes.ports import HeldPort
from rtlab.testing.pytest_plugin import (  # noqa: F401
    fake_clock,
    fault_script,
    faulty_lab,
    lab,
    ledger,
    mock_websocket,
)

# An example's time depends on the machine's load, so it is not judged: benchmarks measure time.
settings.register_profile("rtlab", deadline=None)
settings.load_profile("rtlab")


@pytest.fixture
def held_port() -> Iterator[int]:
    """A port for a server that cannot choose one; on Linux, nobody else is given it during the test."""
    with HeldPort() as held:
        yield held.port
