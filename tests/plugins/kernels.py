"""Kernels that nbval starts spare what it cannot see; see `tests/cheaper_kernel.py`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

import nbval.kernel
import pytest
from jupyter_client.manager import KernelManager

from tests.kernel_ports import kernel_ports
from tests.warm_start import COLD

__all__ = ["STARTUP"]

STARTUP: Final = str(Path(__file__).resolve().parent.parent / "cheaper_kernel.py")


def pytest_configure(config: pytest.Config) -> None:
    """Let nbval's kernels have ports that nobody else takes."""
    nbval.kernel.KernelManager = lambda **given: KernelManager(**given, **kernel_ports())


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """The notebook's kernel is started in the setup of its first cell, and inherits this."""
    os.environ.pop(COLD, None)
    if item.path.suffix == ".ipynb":
        os.environ["PYTHONSTARTUP"] = STARTUP
        if item.get_closest_marker("cold"):
            os.environ[COLD] = "1"
    elif os.environ.get("PYTHONSTARTUP") == STARTUP:
        del os.environ["PYTHONSTARTUP"]
