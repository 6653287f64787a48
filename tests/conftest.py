"""The plugin's fixtures, from this tree: also where the package's metadata was installed without them."""

from __future__ import annotations

from rtlab.testing.pytest_plugin import (  # noqa: F401
    fake_clock,
    fault_script,
    faulty_lab,
    lab,
    ledger,
    mock_websocket,
)
