from __future__ import annotations

import pytest
from aiohttp.test_utils import make_mocked_request

from rtlab.server.middleware.admin_token import token_matches


@pytest.mark.parametrize(
    ("headers", "matches"),
    [
        ({}, False),
        ({"X-Rtlab-Token": "secret"}, True),
        ({"Authorization": "Bearer secret"}, True),
        ({"Authorization": "bearer secret"}, True),
        ({"Authorization": "Basic secret"}, False),
        ({"Authorization": "Bearer"}, False),
        ({"X-Rtlab-Token": "secre"}, False),
        ({"X-Rtlab-Token": "é"}, False),
    ],
)
def test_the_token_comes_in_either_header(headers: dict[str, str], matches: bool) -> None:
    assert token_matches(make_mocked_request("GET", "/stats", headers=headers), "secret") is matches
