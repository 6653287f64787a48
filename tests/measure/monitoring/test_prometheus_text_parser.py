from __future__ import annotations

import pytest

from rtlab.errors import LabError
from rtlab.measure.monitoring.prometheus_text_parser import MetricsPage

TEXT = """\
# TYPE open gauge
open{transport="sse",state="open"} 2
open{transport="websocket",state="open"} 3
# TYPE ended counter
"""


def test_labels_choose_and_the_rest_is_summed() -> None:
    page = MetricsPage.parse(TEXT)
    assert (page.value("open"), page.value("open", transport="sse"), page.value("open", state="x")) == (
        5,
        2,
        0,
    )
    assert page.value("ended_total", code="1006") == 0  # nothing was counted in it yet


def test_a_name_that_is_not_there_is_said_with_its_neighbour() -> None:
    with pytest.raises(LabError, match=r"'opne'; did you mean one of open"):
        MetricsPage.parse(TEXT).value("opne")


@pytest.mark.parametrize("text", ["<html>", 'a{b="c', "a{b} {", "a 1 2 3 4 x", "a one"])
def test_what_is_no_page_is_one_error(text: str) -> None:
    with pytest.raises(LabError, match="expected a page of metrics"):
        MetricsPage.parse(text)
