from __future__ import annotations

import pytest

from rtlab import pace
from rtlab.errors import RtlabError


@pytest.fixture(autouse=True)
def _no_setting(monkeypatch: pytest.MonkeyPatch):
    for name in ("RTLAB_PACE", "CI"):
        monkeypatch.delenv(name, raising=False)


def test_people_get_what_is_written_and_programs_less(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("PYTEST_CURRENT_TEST")
    assert pace.seconds(10) == 10
    monkeypatch.setenv("CI", "true")
    assert pace.seconds(10) == 3


def test_a_kernel_started_by_pytest_is_quick():
    assert pace.seconds(10) == 3


@pytest.mark.parametrize(("asked", "seconds"), [("quick", 3), ("normal", 10), ("slow", 30), (" 0.5 ", 5)])
def test_the_setting_wins(monkeypatch: pytest.MonkeyPatch, asked: str, seconds: float):
    monkeypatch.setenv("CI", "true")
    monkeypatch.setenv("RTLAB_PACE", asked)
    assert pace.seconds(10) == pytest.approx(seconds)


@pytest.mark.parametrize("asked", ["fast", "0", "-1", "nan", "inf"])
def test_nonsense_is_refused(monkeypatch: pytest.MonkeyPatch, asked: str):
    monkeypatch.setenv("RTLAB_PACE", asked)
    with pytest.raises(RtlabError, match="expected quick, normal, slow or a positive number"):
        pace.seconds(1)


@pytest.mark.parametrize(("asked", "waited"), [("quick", 0.3), ("normal", 60), ("slow", 180)])
def test_nobody_waits_for_a_person_where_a_program_runs(monkeypatch, asked, waited):
    monkeypatch.setenv("RTLAB_PACE", asked)
    assert pace.for_reader(60) == waited
    assert pace.for_reader(0.1) <= waited
