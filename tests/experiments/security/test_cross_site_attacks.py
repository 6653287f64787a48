"""A real Chromium hands a stranger's page its user's socket, and his token, unless the server forbids it."""

from __future__ import annotations

import pytest

from rtlab.experiments.security.cross_site_attacks import (
    SECRET,
    chat_site,
    hijack_socket,
    mapped_browser,
    read_under_rebound_name,
    token_from_referrer,
)
from rtlab.lab.lab import Lab
from rtlab.processes.find_program import find_program

pytestmark = pytest.mark.skipif(
    find_program("chromium") is None, reason="chromium is not installed: apt-get install chromium"
)


async def test_a_strangers_page_reads_the_naive_server_and_not_the_right_one() -> None:
    async with (
        chat_site(security="naive") as naive_site,
        chat_site(security="right") as right_site,
        Lab(security="naive") as naive,
        Lab(security="right") as right,
        mapped_browser() as browser,
    ):
        assert await hijack_socket(naive_site, browser) == [SECRET]
        assert await hijack_socket(right_site, browser) == []
        rebound = await read_under_rebound_name(naive, browser)
        assert (rebound.status, '"session"' in rebound.body) == (200, True)
        rebound = await read_under_rebound_name(right, browser)
        assert (rebound.status, "bad_host" in rebound.body) == (403, True)
        assert "/?token=eyJ" in await token_from_referrer(naive, browser)
        assert await token_from_referrer(right, browser) == ""
