"""Every attack succeeds against the naive setting, and fails against the right one."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from rtlab.errors import RtlabError
from rtlab.experiments.security import login_and_message_attacks as attacks
from rtlab.lab.lab import Lab
from rtlab.server.auth.users import DEMO_USERS

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def naive() -> AsyncIterator[Lab]:
    async with Lab(security="naive", rate_limit="connection messages 100 100 window") as lab:
        yield lab


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def right() -> AsyncIterator[Lab]:
    async with Lab(security="right", rate_limit="connection messages 100 100") as lab:
        yield lab


async def test_the_passwords_are_the_labs() -> None:
    assert {name: password for name, (password, _) in DEMO_USERS.items()} == attacks.PASSWORDS


async def test_a_token_in_the_log_opens_the_door(naive: Lab, right: Lab) -> None:
    leak = await attacks.token_from_log(naive, "query")
    assert leak.admitted == 1
    assert "token=eyJ" in leak.line
    safe = await attacks.token_from_log(right, "ticket")
    assert safe.admitted == 0
    assert 'ticket=***" 101' in safe.line


async def test_a_token_that_nobody_signed(naive: Lab, right: Lab) -> None:
    assert [await attacks.forge_token(lab) for lab in (naive, right)] == [1, 0]


async def test_a_message_type_that_is_a_name(naive: Lab, right: Lab) -> None:
    assert naive.token in await attacks.call_by_name(naive, "__dict__")
    assert await attacks.call_by_name(right, "__dict__") == "unknown_type"
    for name in ("constructor", "__class__", "secret"):
        assert await attacks.call_by_name(right, name) == "unknown_type"


async def test_origins_that_look_right(naive: Lab, right: Lab) -> None:
    own, *others = (await attacks.origins_admitted(naive)).values()
    assert (own, others) == (1, [1] * 5)
    own, *others = (await attacks.origins_admitted(right)).values()
    assert (own, others) == (1, [0] * 5)


async def test_origins_that_look_like_an_allowed_one() -> None:
    allowed = "https://lab.example"
    for security, admitted in (("naive", [1] * 4), ("right", [0] * 4)):
        async with Lab(security=security, allow_origin=allowed) as lab:
            found = await attacks.origins_admitted(lab, allowed)
        assert list(found.values())[-4:] == admitted


async def test_a_ticket_is_worth_nothing_a_moment_later(naive: Lab, right: Lab) -> None:
    assert [await attacks.replay_ticket(lab) for lab in (naive, right)] == [1, 0]


async def test_a_room_by_a_path_that_leads_there(naive: Lab, right: Lab) -> None:
    assert [await attacks.hear_staff(lab, "staff") for lab in (naive, right)] == ["forbidden", "forbidden"]
    assert await attacks.hear_staff(naive, "lobby/../staff") == "the key is under the mat"
    for name in ("lobby/../staff", "./staff", "staff/", "x" * 10_000, "staff\0", "\u202effats"):
        assert await attacks.hear_staff(right, name) in ("forbidden", "wrong_payload")


async def test_the_log_says_who_came_from_which_page_and_what_became_of_it(right: Lab) -> None:
    token = (await attacks.log_in(right, "bob"))["accessToken"]
    bearer = {"Authorization": f"Bearer {token}"}
    own = right.url
    assert await attacks.opens(right.ws_url, bearer, own) == 1
    assert await attacks.opens(right.ws_url, bearer, 'http://evil.example/" 200 "ada') == 0
    came, refused = (await attacks.read_log(right))[-2:]
    assert came.split(" ", 2)[1] == "bob"
    assert came.endswith(f'"GET /ws" 101 "{own}" "-"')
    assert refused.split(" ", 2)[1] == "-"
    assert refused.endswith('"GET /ws" 403 "http://evil.example/%22 200 %22ada" "-"')


async def test_a_server_that_neither_opens_nor_refuses_is_an_error(right: Lab, held_port: int) -> None:
    nobody = f"ws://127.0.0.1:{held_port}/ws"
    for url, got in ((f"{right.ws_url}x", "got 404"), (nobody, "got ConnectionRefusedError")):
        with pytest.raises(RtlabError, match=rf"{got}.*: see `lab\.check\(\)`"):
            await attacks.opens(url)


async def test_a_key_that_stands_twice(naive: Lab, right: Lab) -> None:
    assert await attacks.double_key(naive) == 1000
    assert await attacks.double_key(right) == "duplicate_key"


async def test_a_stolen_refresh_token(naive: Lab, right: Lab) -> None:
    stolen = await attacks.reuse_refresh_token(naive)
    assert (stolen.thief_lives, stolen.owner_lives, stolen.closed_with) == (1, 1, 0)
    stolen = await attacks.reuse_refresh_token(right)
    assert (stolen.thief_lives, stolen.owner_lives, stolen.closed_with) == (0, 0, 4501)
    assert [said for _, said in stolen.story][1] == "the same token: token_reused"


@pytest.mark.alone
async def test_two_bursts_around_a_boundary(naive: Lab, right: Lab) -> None:
    assert (await attacks.flood_at_boundary(naive)).taken == 200
    flood = await attacks.flood_at_boundary(right)
    assert flood.taken >= 100
    assert flood.above(rate=100, burst=100) <= 0
