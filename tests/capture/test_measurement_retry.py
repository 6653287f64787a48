from __future__ import annotations

import pytest

from rtlab.capture import measurement_retry
from rtlab.capture.measurement_retry import ATTEMPTS, again_while_busy
from rtlab.errors import LabError, MachineBusy


@pytest.fixture(autouse=True)
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measurement_retry, "_PAUSE", 0.0)


@pytest.mark.parametrize("busy", range(ATTEMPTS))
async def test_what_a_busy_machine_spoiled_is_measured_again(busy: int):
    tried: list[int] = []

    async def measure(attempt: int) -> str:
        tried.append(attempt)
        if attempt < busy:
            raise MachineBusy("expected quiet, got noise: run the cell again")
        return "measured"

    assert await again_while_busy(measure) == "measured"
    assert tried == list(range(busy + 1))


async def test_after_the_last_attempt_the_error_says_how_often_and_what_next():
    async def measure(attempt: int) -> None:
        raise MachineBusy(f"expected quiet, got noise {attempt}: run the cell again")

    with pytest.raises(
        MachineBusy, match=r"^tried 3 times: expected quiet, got noise 2: run the cell again$"
    ):
        await again_while_busy(measure)


async def test_other_errors_are_not_tried_again():
    tried: list[int] = []

    async def measure(attempt: int) -> None:
        tried.append(attempt)
        raise LabError("broken")

    with pytest.raises(LabError, match="broken"):
        await again_while_busy(measure)
    assert tried == [0]
