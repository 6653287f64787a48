"""One setting for how long demonstrations run.

``RTLAB_PACE`` is ``quick``, ``normal``, ``slow``, or a number that multiplies
every duration. Without it the pace is ``quick`` where a program runs the
notebook (``CI`` is set, or pytest runs), and ``normal`` where a person does.
"""

from __future__ import annotations

import math
import os
from typing import Final

from rtlab.errors import RtlabError

__all__ = ["PACES", "factor", "for_reader", "seconds"]

PACES: Final[dict[str, float]] = {"quick": 0.3, "normal": 1.0, "slow": 3.0}


def factor() -> float:
    """Return what durations are multiplied by.

    Returns
    -------
    float

    Raises
    ------
    RtlabError
        When ``RTLAB_PACE`` is neither a known word nor a positive number.
    """
    asked = os.environ.get("RTLAB_PACE", "").strip()
    if not asked:
        # The kernels that nbval starts inherit pytest's variable.
        watched = os.environ.get("CI") or os.environ.get("PYTEST_CURRENT_TEST")
        return PACES["quick" if watched else "normal"]
    if asked in PACES:
        return PACES[asked]
    try:
        value = float(asked)
    except ValueError:
        value = math.nan
    if not (math.isfinite(value) and value > 0):
        raise RtlabError(f"RTLAB_PACE: expected {', '.join(PACES)} or a positive number, got {asked!r}")
    return value


def seconds(duration: float) -> float:
    """Scale a duration by the pace.

    Parameters
    ----------
    duration : float
        Seconds at normal pace.

    Returns
    -------
    float
        Seconds to use.

    Examples
    --------
    >>> import os
    >>> os.environ["RTLAB_PACE"] = "slow"
    >>> seconds(2.0)
    6.0
    """
    return duration * factor()


def for_reader(duration: float) -> float:
    """Return how long to wait for a person who may want to do something, and need not.

    Parameters
    ----------
    duration : float
        Seconds at normal pace.

    Returns
    -------
    float
        Seconds to use: at a pace that is quicker than normal nobody is there, and it is 0.3 at most.
    """
    return seconds(duration) if factor() >= PACES["normal"] else min(duration, 0.3)
