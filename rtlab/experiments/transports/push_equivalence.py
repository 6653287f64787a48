"""Tests the claim that, on an open connection, a push over SSE is as fast as one over WebSocket."""

# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false

from __future__ import annotations

import math
import random
from typing import TYPE_CHECKING, Final

from rtlab.experiments.transports.direct_or_delayed_path import NetworkPath, path_to
from rtlab.experiments.transports.feed_request import take_feed
from rtlab.measure.recorder import Recorder
from rtlab.measure.statistics.equivalence import Equivalence, equivalence

if TYPE_CHECKING:
    import pandas as pd

    from rtlab.experiments.transports.transport_comparison import OnProgress
    from rtlab.figures.chart_style.matplotlib_style import Chart
    from rtlab.lab.lab import Lab

__all__ = ["PushEquivalence", "push_equivalence"]

_WARM_UP: Final = 5


class PushEquivalence:
    """The outcome of `push_equivalence`.

    Attributes
    ----------
    claim : Equivalence
        Test of the two transports.
    control : Equivalence
        Test of the first transport against itself with an added delay, to show that the test detects one.
    runs : pandas.DataFrame
        The median transit of each run in milliseconds, with one column per feed.
    """

    def __init__(self, claim: Equivalence, control: Equivalence, runs: pd.DataFrame) -> None:
        self.claim = claim
        self.control = control
        self.runs = runs

    @property
    def verdicts(self) -> list[str]:
        """The outcomes of the claim and of the control, in words."""
        return [self.claim.verdict, self.control.verdict]

    def plot(self) -> Chart:
        """Draw both confidence intervals against the margin, and enlarged.

        Returns
        -------
        Chart
            A matplotlib `Figure`.
        """
        from rtlab.figures.transports.equivalence import equivalence_figure

        return equivalence_figure(
            self.claim, self.control, self.differences(self.claim), self.differences(self.control)
        )

    def differences(self, tested: Equivalence) -> list[float]:
        """Return how much later `tested.a` was than `tested.b` in each run, in milliseconds."""
        later, earlier = self.runs[tested.a].to_numpy(float), self.runs[tested.b].to_numpy(float)
        return list(map(float, later - earlier))

    def __repr__(self) -> str:
        return f"<PushEquivalence: {self.claim.verdict}; control: {self.control.verdict}>"

    def _repr_html_(self) -> str:
        return f"claim: <b>{self.claim.verdict}</b><br>control: <b>{self.control.verdict}</b>"


async def push_equivalence(
    lab: Lab,
    *,
    margin_ms: float,
    transports: tuple[str, str] = ("sse", "websocket"),
    # Load
    runs: int = 10,
    messages: int = 60,
    rate: float = 200.0,
    size: int = 100,
    # Control
    control_ms: float = 5.0,
    seed: int = 0,
    progress: OnProgress | None = None,
) -> PushEquivalence:
    """Test whether two transports push equally fast.

    Each run takes three feeds in random order: over the first transport, over the second, and over the
    first with `control_ms` added by the fault proxy. The test compares the feeds' median transits (written
    to received), which leave out the lateness of the sender's timer.

    Parameters
    ----------
    lab : Lab
        A running lab, started with ``faults=True``.
    margin_ms : float
        The smallest difference in milliseconds that would matter. There is no default, because it must be
        chosen before the measurement.
    transports : (str, str)
        The two transports to compare.
    runs : int
        Number of runs, at least 5.
    messages, rate, size : int, float, int
        Messages in each feed, messages per second, bytes of each payload.
    control_ms : float
        Delay in milliseconds that the control adds from server to client.
    seed : int
        Seed of the random order.
    progress : callable, optional
        Called with the share done, from 0 to 1, and a short text.

    Returns
    -------
    PushEquivalence

    Raises
    ------
    LabError
        When the lab has no fault proxy, or a feed did not end.

    Examples
    --------
    ::

        test = await push_equivalence(lab, margin_ms=1.0)
        test.verdicts
    """
    import pandas as pd

    first, second = transports
    names = (first, second, f"{first} + {control_ms:g} ms")
    rng = random.Random(seed)
    medians: dict[str, list[float]] = {name: [] for name in names}
    for run in range(runs):
        for name in rng.sample(names, k=len(names)):
            if progress is not None:
                progress(run / runs, f"run {run + 1} of {runs}: {name}")
            # The proxy splits the added round trip equally between the two directions.
            async with path_to(lab, 2 * control_ms if name == names[2] else None) as path:
                transport = second if name == second else first
                medians[name].append(await _median_transit(path, transport, rate, size, messages))
    if progress is not None:
        progress(1.0, "done")
    claim = equivalence(medians[first], medians[second], margin_ms, names=(first, second))
    control = equivalence(medians[names[2]], medians[first], margin_ms, names=(names[2], first))
    return PushEquivalence(claim, control, pd.DataFrame(medians).rename_axis("run"))


async def _median_transit(path: NetworkPath, transport: str, rate: float, size: int, count: int) -> float:
    recorder = Recorder()
    async with path.client(transport) as conn:
        await take_feed(conn, transport, rate, size, _WARM_UP)
        with recorder.attach(conn, transport):
            await take_feed(conn, transport, rate, size, count)
    found = recorder.percentiles(transport, (50,), "transit")
    return found.get(50, math.nan)
