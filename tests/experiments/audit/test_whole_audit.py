"""The audit finds every hole that was planted, and none where there is none."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
import websockets

from rtlab.cli import main as cli
from rtlab.errors import ConnectFailed
from rtlab.experiments.audit import checks_before_authentication
from rtlab.experiments.audit.check_and_finding_types import Finding, holes
from rtlab.experiments.audit.requests_to_audited_server import Target
from rtlab.experiments.audit.whole_audit import audit
from rtlab.experiments.security.login_and_message_attacks import log_in
from rtlab.lab.lab import Lab
from rtlab.protocol.urls import parse_url

pytestmark = pytest.mark.asyncio(loop_scope="module")

#: What the naive setting leaves open, as far as a stranger sees it; see `server.deliberate_security_holes`.
PLANTED = {
    "foreign origins",
    "rebound name",
    "CORS",
    "handshake strictness",
    "unsigned token",
    "token in the URL",
    "slow handshake",
    "message size",
    "compression bomb",
    "version",
    "content sniffing",
    "flood",
    "handlers by name",
    "duplicate keys",
}


def shown(findings: list[Finding]) -> str:
    return "\n".join(f"{f.result}: {f.check}: {f.evidence}" for f in findings)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def right() -> AsyncIterator[Lab]:
    async with Lab(security="right", header_timeout=0.5, tls=True, compression=True) as lab:
        yield lab


async def test_every_planted_hole_is_found_from_outside() -> None:
    async with Lab(security="naive", header_timeout=0.5, compression=True) as naive:
        found = await audit(naive.ws_url, slow=1.5)
    assert set(holes(found)) == PLANTED, shown(found)
    for finding in found:
        assert finding.advice
        assert finding.rule
        assert finding.evidence


async def test_the_right_setting_has_none_from_outside_nor_from_inside(right: Lab) -> None:
    outside = await audit(right.ws_url, ssl=right.ssl)
    assert holes(outside) == [], shown(outside)
    assert {f.check for f in outside if f.result == "not seen"} >= {"frames", "flood", "duplicate keys"}
    token = (await log_in(right, "ada"))["accessToken"]
    inside = await audit(right.ws_url, headers={"Authorization": f"Bearer {token}"}, ssl=right.ssl)
    assert holes(inside) == [], shown(inside)
    unseen = {f.check for f in inside if f.result == "not seen"}
    assert unseen == {"unsigned token", "token in the URL"}
    tls = next(finding for finding in outside if finding.check == "TLS")
    assert (tls.result, tls.evidence[:5]) == ("holds", "TLSv1"), tls


async def test_an_origin_that_is_judged_by_its_end_or_a_part_of_it_is_a_hole() -> None:
    def let_in_if(test) -> websockets.serve:
        def judge(connection, request):
            own, origin = f"http://{request.headers['Host']}", request.headers.get("Origin")
            return None if origin is None or test(origin, own) else connection.respond(403, "no")

        return websockets.serve(
            websockets.ServerConnection.wait_closed, "127.0.0.1", 0, process_request=judge
        )

    for test, evidence in (
        (lambda origin, own: origin[:7] == own[:7] and origin.endswith(own[7:]), "let in: ends right"),
        (lambda origin, own: own in origin, "let in: a user in front, with a path"),
        (lambda origin, own: True, "let in: any"),
        (lambda origin, own: origin == own, "9 strangers were answered HTTP 403, nobody else was"),
    ):
        async with let_in_if(test) as server:
            url = parse_url(f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/").over("ws")
            target = Target(url, None, 20, 1, {})
            finding = await checks_before_authentication._origins(target, await target.handshake({}))
        assert finding.evidence == evidence


async def test_another_machine_is_left_alone() -> None:
    with pytest.raises(ConnectFailed, match=r"not this machine.*--elsewhere"):
        await audit("ws://192.0.2.1/ws")


async def test_the_command_prints_json_and_says_by_its_exit_code_whether_there_is_a_hole(
    right: Lab, capfd: pytest.CaptureFixture[str]
) -> None:
    assert await asyncio.to_thread(cli.run, ["audit", right.ws_url, "--json"]) == 1
    assert "certificate" in capfd.readouterr().err
    assert await asyncio.to_thread(cli.run, ["audit", right.ws_url, "--json", "--insecure"]) == 0
    assert {finding["result"] for finding in json.loads(capfd.readouterr().out)} == {"holds", "not seen"}
    assert await asyncio.to_thread(cli.run, ["audit", "ws://192.0.2.1/ws"]) == 1
    assert "is not this machine" in capfd.readouterr().err
    assert await asyncio.to_thread(cli.run, ["audit", right.ws_url, "--header", "x"]) == 1
    assert "expected --header" in capfd.readouterr().err
