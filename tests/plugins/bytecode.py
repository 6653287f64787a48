"""Lets Python keep compiled test modules, also where the environment forbids it.

A run has five workers and starts a few hundred processes. Without stored bytecode
each of them compiles rtlab, and each worker rewrites the assertions of all tests.
"""

from __future__ import annotations

import os
import sys

__all__: list[str] = []

sys.dont_write_bytecode = False
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
