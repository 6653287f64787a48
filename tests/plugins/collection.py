"""What a test process need not do: compile modules anew, and look for garbage where there is none.

A run has several workers and starts a few hundred processes. Without stored bytecode each of them compiles
rtlab, and each worker rewrites the assertions of all tests. While tests are collected nothing becomes
garbage, and what was collected lives to the end: a `gc.collect()` in a test shall not walk over it.
"""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Generator

import pytest

__all__: list[str] = []

sys.dont_write_bytecode = False
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()
