"""The limit of open file descriptors of this process (RLIMIT_NOFILE): reads it, and raises it."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Generator
from typing import Final

from rtlab.errors import LabError

__all__ = ["enough_descriptors", "nofile", "raise_nofile"]

_NO_LIMIT: Final = 1 << 20


def nofile() -> int:
    """Return the soft limit of open file descriptors; a large number where there is no limit."""
    if sys.platform == "win32":
        return _NO_LIMIT
    import resource

    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return _NO_LIMIT if soft == resource.RLIM_INFINITY else soft


def raise_nofile() -> int:
    """Raise the soft limit of open file descriptors to the hard limit.

    Returns
    -------
    int
        The new limit; 0 where the system has none (Windows).
    """
    if sys.platform == "win32":
        return 0
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


@contextlib.contextmanager
def enough_descriptors(needed: int) -> Generator[None]:
    """Raise this process's limit of open file descriptors for the block; on Windows do nothing.

    Raises
    ------
    LabError
        When the hard limit is lower than `needed`.
    """
    if sys.platform == "win32":
        yield
        return
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < needed:
        raise LabError(
            f"expected {needed:,} open descriptors to be allowed, got {hard:,}: "
            "use fewer clients, or raise the hard limit (ulimit -Hn)"
        )
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, needed), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
