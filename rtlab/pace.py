"""One setting for how long demonstrations run.

``RTLAB_PACE`` is ``quick``, ``normal``, ``slow``, or a number that multiplies
every duration. If it is not set, the pace is ``quick`` when a program runs the
notebook (``CI`` is set, or pytest is running), and ``normal`` when a person does.
"""

from __future__ import annotations

import math
import os
from typing import Final

from rtlab.errors import RtlabError

__all__ = ["PACES", "factor", "for_reader", "seconds"]

PACES: Final[dict[str, float]] = {"quick": 0.3, "normal": 1.0, "slow": 3.0}


def factor() -> float:
    """Return the factor by which durations are multiplied.

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
        # The kernels that nbval starts inherit the variable that pytest sets.
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
    """Return how long to wait for an optional action of the person who reads the notebook.

    Parameters
    ----------
    duration : float
        Seconds at normal pace.

    Returns
    -------
    float
        Seconds to use. A pace that is quicker than normal means that no person is there: then at most 0.3.
    """
    return seconds(duration) if factor() >= PACES["normal"] else min(duration, 0.3)
