"""Which answers are worth another try, and when."""

from __future__ import annotations

import http

import pytest

from rtlab.protocol.http_status_and_retry_after import MAX_RETRY_AFTER, close_code_for, may_retry, retry_after

NOW = 784_111_777.0  # Sun, 06 Nov 1994 08:49:37 GMT, the example of RFC 9110 §5.6.7
FORMS = ["Sun, 06 Nov 1994 08:49:37 GMT", "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994"]


def test_of_all_named_statuses_these_may_be_retried() -> None:
    again = {int(status) for status in http.HTTPStatus if may_retry(status)}
    assert again == {408, 421, 425, 429} | {int(status) for status in http.HTTPStatus if status >= 500}


@pytest.mark.parametrize("kind", ["text/html", "Text/HTML ; charset=x", "application/xhtml+xml"])
def test_a_captive_portal_is_worth_another_try(kind: str) -> None:
    assert may_retry(200, kind)
    assert not may_retry(404, kind)
    assert close_code_for(200, kind) == (1013, True)


@pytest.mark.parametrize("kind", ["", "application/json", "text/plain"])
def test_another_200_is_not(kind: str) -> None:
    assert not may_retry(200, kind)


@pytest.mark.parametrize("status", sorted(http.HTTPStatus))
def test_within_a_session_only_a_lost_session_and_a_successor_differ(status: int) -> None:
    code, again = close_code_for(status)
    assert again is (may_retry(status) or status in (404, 410))
    assert code == {404: 1006, 410: 1006, 409: 4500}.get(status, 1013 if again else 1008)


@pytest.mark.parametrize("form", FORMS)
def test_all_three_forms_of_dates_are_read(form: str) -> None:
    assert retry_after(form, now=NOW - 30) == 30.0
    assert retry_after(form, form, now=0.0) == 0.0
    assert retry_after("Sun, 06 Nov 1994 08:50:37 GMT", form, now=0.0) == 60.0


def test_a_date_in_the_past_is_now() -> None:
    assert retry_after(FORMS[0], now=NOW + 5) == 0.0


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("0", 0.0),
        (" 12 ", 12.0),
        ("007", 7.0),
        ("9" * 400, MAX_RETRY_AFTER),
        ("Fri, 31 Dec 9999 23:59:59 GMT", MAX_RETRY_AFTER),
        ("Fri, 31 Dec 9999 23:59:59 -2359", MAX_RETRY_AFTER),
    ],
)
def test_seconds_are_bounded(text: str, seconds: float) -> None:
    assert retry_after(text, now=NOW) == seconds


@pytest.mark.parametrize(
    "text",
    [
        *("", "soon", "-1", "+1", "1.5", "1e3", "1_0", "\u0661", "NaN", "inf", ",", ";", "0x1"),
        *("Fri, 31 Dec 99999 23:59:59 GMT", "Fri, 99 Dec 1999 23:59:59 GMT", "Fri, 31 Dec -1 23:59:59 GMT"),
        *(f"Fri, {'9' * 400} Dec 1999 23:59:59 GMT", "Sun Nov  6 1994"),
        *("Sun, 06 Nov 1994 08:49:37 +99999999999999", f"Sun, 06 Nov {'9' * 5000} 08:49:37 GMT"),
    ],
)
def test_what_cannot_be_read_is_no_hint(text: str) -> None:
    assert retry_after(text, now=NOW) is None


def test_a_date_of_the_answer_that_cannot_be_read_is_as_none() -> None:
    assert retry_after(FORMS[0], "yesterday", now=NOW - 9) == 9.0
