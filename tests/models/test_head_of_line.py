"""Head-of-line blocking against a channel that is played packet by packet."""

from __future__ import annotations

import numpy as np
import pytest

from rtlab.models.head_of_line import blocked_messages, late_share, repair_delay


def play(lost: np.ndarray, gap: float, rtt: float, *, ordered: bool) -> np.ndarray:
    """When each message is delivered, later than a normal transit: acknowledgements counted one by one."""
    sent = np.arange(len(lost)) * gap
    arrived = sent + rtt / 2
    for n in np.flatnonzero(lost):
        later = [m for m in range(n + 1, min(n + 40, len(lost))) if not lost[m]][:3]
        repeated = sent[later[-1]] + rtt if len(later) == 3 else np.inf
        arrived[n] = repeated + rtt / 2
    delivered = np.maximum.accumulate(arrived) if ordered else arrived
    return delivered - sent - rtt / 2


@pytest.mark.parametrize(("gap", "rtt"), [(0.005, 0.06), (0.01, 0.1), (0.004, 0.005), (0.1, 0.03)])
def test_one_loss_makes_a_tower_of_the_predicted_height_and_width(gap: float, rtt: float) -> None:
    lost = np.zeros(200, bool)
    lost[50] = True
    extra = play(lost, gap, rtt, ordered=True)
    assert extra.max() == pytest.approx(repair_delay(gap, rtt))
    for threshold in (0.0, 0.3 * gap, 1.5 * gap):
        late = (extra > threshold + 1e-12).sum()
        assert late == blocked_messages(gap, rtt, threshold)
    alone = play(lost, gap, rtt, ordered=False)
    assert (alone > 1e-12).sum() == 1


@pytest.mark.parametrize("ordered", [True, False])
def test_the_share_of_late_messages_agrees_with_random_losses(ordered: bool) -> None:
    loss, gap, rtt, threshold = 0.005, 0.005, 0.06, 0.0101
    lost = np.random.default_rng(5).random(100_000) < loss
    lost[-10:] = False
    late = (play(lost, gap, rtt, ordered=ordered) > threshold).mean()
    assert late == pytest.approx(late_share(loss, gap, rtt, threshold, ordered=ordered), rel=0.1)


def test_nothing_is_late_beyond_the_repair() -> None:
    assert blocked_messages(0.005, 0.06, 0.08) == 0
    assert late_share(0.1, 0.005, 0.06, 0.08) == 0
    assert late_share(0.1, 0.005, 0.06, 0.08, ordered=False) == 0
