"""The plugin's fixtures, from this tree: also where the package's metadata was installed without them."""

from __future__ import annotations

from hypothesis import settings

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
