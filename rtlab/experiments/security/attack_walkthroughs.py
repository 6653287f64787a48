"""Attacks that need Chromium or nginx, told step by step: run here, or as they were recorded.

``python -m rtlab.experiments.security.attack_walkthroughs --save data/attacks.json`` makes the recorded
run again.
"""

from __future__ import annotations

import argparse
import asyncio
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, Literal

import msgspec

from rtlab.errors import LabError
from rtlab.experiments.security.cross_site_attacks import (
    chat_site,
    hijack_socket,
    mapped_browser,
    read_under_rebound_name,
    token_from_referrer,
)
from rtlab.experiments.security.login_and_message_attacks import log_in, read_log
from rtlab.experiments.security.slow_loris_bomb_and_smuggling import smuggle_past_nginx
from rtlab.figures.chart_style.matplotlib_style import Chart
from rtlab.figures.diagrams.sequence_diagram import Arrow, sequence_figure
from rtlab.lab.lab import Lab
from rtlab.measure.provenance import provenance, write_json
from rtlab.resources import data_path
from rtlab.widgets.verdicts.plain_table import PlainTable

__all__ = ["RECORDED", "StagedAttack", "StagedRun", "recorded_attacks", "stage_attacks"]

#: The recorded run in ``data/``.
RECORDED: Final = "attacks.json"
_COMMAND: Final = f"python -m rtlab.experiments.security.attack_walkthroughs --save data/{RECORDED}"

Name = Literal["hijack", "referrer", "rebound", "smuggle"]

#: The cookie that the naive server sets over TLS.
COOKIE: Final = "Set-Cookie: token=…; SameSite=None; Secure"

_TITLES: Final[dict[Name, str]] = {
    "hijack": "A stranger's page opens Ada's WebSocket",
    "referrer": "A link with a token in it, and a picture of a stranger's",
    "rebound": "A name that was made to point here",
    "smuggle": "A request behind an upgrade that is none",
}


class StagedAttack(msgspec.Struct, frozen=True):
    """The steps and the result of one attack on one server.

    Parameters
    ----------
    name : {"hijack", "referrer", "rebound", "smuggle"}
        Name of the attack.
    setting : {"naive", "right"}
        Security setting of the server.
    got : str
        What the attacker obtained; empty for nothing.
    victim : str
        What the victim saw of the attack.
    log : list of str
        Lines of the server's access log about the attack, newest last.
    steps : list of (str, str, str, bool)
        For each step the sender, the receiver, what was sent, and whether it was a refusal.
    """

    name: Name
    setting: Literal["naive", "right"]
    got: str
    victim: str
    log: list[str]
    steps: list[tuple[str, str, str, bool]]

    def figure(self) -> Chart:
        """Draw the steps as a sequence diagram."""
        lanes = list(dict.fromkeys(lane for step in self.steps for lane in step[:2]))
        arrows = [
            Arrow(source, target, text, color="green" if refused else "vermilion" if self.got else "grey")
            for source, target, text, refused in self.steps
        ]
        return sequence_figure(lanes, arrows, title=f"{_TITLES[self.name]}: {self.setting}")


class StagedRun(msgspec.Struct, frozen=True):
    """The attacks of one run, and where and when it was made.

    Parameters
    ----------
    about : dict
        Provenance of the run: the command, the date, and versions of programs.
    attacks : list of StagedAttack
        Each attack twice: on the naive server, then on the right one.
    live : bool
        Whether this process has just made the run; False for the recorded run.
    """

    about: dict[str, Any]
    attacks: list[StagedAttack]
    live: bool = False

    @property
    def when(self) -> str:
        """Whether the run is live or recorded, its date and versions, for captions."""
        versions = self.about["versions"]
        with_what = ", ".join(
            f"{name} {versions[name]}" for name in ("chromium", "nginx") if name in versions
        )
        return f"{'live' if self.live else 'recorded'}, {self.about['date']}, {with_what}"

    def of(self, name: Name, setting: Literal["naive", "right"]) -> StagedAttack:
        """Return one attack of this run.

        Raises
        ------
        LabError
            When the run does not include it; the message says what does.
        """
        for found in self.attacks:
            if (found.name, found.setting) == (name, setting):
                return found
        present = ", ".join(f"{found.name} ({found.setting})" for found in self.attacks) or "no attack"
        raise LabError(
            f"expected one of this run's attacks, {present}; got {name} ({setting}): "
            "`recorded_attacks()` has them all, `stage_attacks()` runs them all"
        )

    def successes(self, *names: Name) -> dict[str, int]:
        """Return for each setting how many of the named attacks succeeded."""
        return {
            setting: sum(
                bool(found.got) for found in self.attacks if found.name in names and found.setting == setting
            )
            for setting in ("naive", "right")
        }

    def table(self, name: Name) -> PlainTable:
        """Return a table of what the attacker obtained, what the victim saw, and what the log holds."""
        rows = [
            (found.setting, found.got or "nothing", found.victim, " ⏎ ".join(found.log))
            for found in self.attacks
            if found.name == name
        ]
        return PlainTable(("server", "the attacker has", "the victim saw", "the log holds"), rows, self.when)


def recorded_attacks() -> StagedRun:
    """Return the recorded run in ``data/``."""
    return msgspec.json.decode(data_path(RECORDED).read_bytes(), type=StagedRun)


async def stage_attacks(*names: Name) -> StagedRun:
    """Run attacks on this machine, on labs of their own.

    Parameters
    ----------
    *names : {"hijack", "referrer", "rebound", "smuggle"}
        Attacks to run. Without any, all are run.

    Raises
    ------
    LabError
        When Chromium, Playwright or nginx is missing.
    """
    wanted = names or tuple(_TITLES)
    found: list[StagedAttack] = []
    if set(wanted) - {"smuggle"}:
        found += [one for one in await _in_browser() if one.name in wanted]
    if "smuggle" in wanted:
        async with Lab(security="naive") as naive, Lab(security="right") as right:
            found += [await _smuggle(naive, "naive"), await _smuggle(right, "right")]
    about = await asyncio.to_thread(provenance, _COMMAND, {"chromium": "--version", "nginx": "-v"})
    return StagedRun(about, found, live=True)


async def _in_browser() -> list[StagedAttack]:
    async with (
        chat_site(security="naive") as naive_site,
        chat_site(security="right") as right_site,
        Lab(security="naive") as naive,
        Lab(security="right") as right,
        mapped_browser() as browser,
    ):
        return [
            *[
                await _hijack(lab, name, browser)
                for lab, name in ((naive_site, "naive"), (right_site, "right"))
            ],
            *[await _referrer(lab, name, browser) for lab, name in ((naive, "naive"), (right, "right"))],
            *[await _rebound(lab, name, browser) for lab, name in ((naive, "naive"), (right, "right"))],
        ]


async def _hijack(lab: Lab, setting: Any, browser: Any) -> StagedAttack:
    heard = await hijack_socket(lab, browser)
    log = [line for line in await _log(lab) if "evil.example" in line and "/ws" in line]
    status = _status(log)
    ada, chat, page = "Ada's browser", "chat.example", "a stranger's page"
    steps = [
        (ada, chat, "POST /api/auth/token", False),
        (chat, ada, f"200, {COOKIE}" if setting == "naive" else "200 (no cookie)", False),
        (ada, page, "GET /", False),
        (page, ada, "200: <h1>Kittens</h1>, and a script", False),
        (ada, chat, "GET /ws, Origin: http://127.0.0.1.evil.example:PORT", False),
        (chat, ada, status, status != "101"),
    ]
    if heard:
        steps += [(chat, ada, f"chat: {heard[0]}", False), (ada, page, heard[0], False)]
    return StagedAttack("hijack", setting, "".join(heard), "kittens", log, steps)


async def _referrer(lab: Lab, setting: Any, browser: Any) -> StagedAttack:
    told = await token_from_referrer(lab, browser)
    log = [line for line in await _log(lab) if "/?token" in line]
    ada, chat, counter = "Ada's browser", "the lab", "counter.example"
    got = _tidy(told) if "token=" in told else ""
    policy = "unsafe-url" if setting == "naive" else "no-referrer"
    steps = [
        (ada, chat, "GET /?token=eyJ…", False),
        (chat, ada, f"200, Referrer-Policy: {policy}", False),
        (ada, counter, "GET /visit.gif, " + (f"Referer: {_tidy(told)}" if told else "no Referer"), not told),
    ]
    return StagedAttack("referrer", setting, got, "the page, and a picture", log, steps)


async def _rebound(lab: Lab, setting: Any, browser: Any) -> StagedAttack:
    await log_in(lab, "ada")  # so that there is a user to act as
    seen = await read_under_rebound_name(lab, browser)
    log = [line for line in await _log(lab) if '"GET /poll' in line]
    page, server = "a page of rebound.example", "the server on 127.0.0.1"
    got = f"{seen.status}: {seen.body[:60]}…" if seen.status == 200 else ""
    steps = [
        (page, page, "DNS: rebound.example is 127.0.0.1 now", False),
        (page, server, "GET /poll, Host: rebound.example:PORT, Bearer: as Ada, unsigned", False),
        (server, page, f"{seen.status}: {seen.body[:48]}…", seen.status != 200),
    ]
    return StagedAttack("rebound", setting, _tidy(got), "any page", log, steps)


async def _smuggle(lab: Lab, setting: Any) -> StagedAttack:
    seen = await smuggle_past_nginx(lab)
    log = [line for line in await _log(lab) if "/readyz" in line or '"GET /ws"' in line]
    client, proxy, server = "client", "nginx", "server"
    steps = [
        (client, proxy, "GET /readyz", False),
        (proxy, client, f"{seen.direct}: a rule of nginx", seen.direct != 200),
        (client, proxy, "GET /ws, Upgrade: h2c", False),
        (proxy, server, "the same", False),
        (server, proxy, str(seen.upgrade), seen.upgrade != 101),
        (proxy, client, str(seen.upgrade), seen.upgrade != 101),
        (client, proxy, "GET /readyz, on the same connection", False),
    ]
    if seen.behind == 200:
        steps += [(proxy, server, "bytes, copied", False), (server, client, "200, past the rule", False)]
    else:
        steps.append((proxy, client, str(seen.behind), True))
    got = "200: /readyz, which nginx denies" if seen.behind == 200 else ""
    return StagedAttack("smuggle", setting, got, "an operator's page" if got else "nothing", log, steps)


async def _log(lab: Lab) -> list[str]:
    return [_tidy(line) for line in await read_log(lab)]


def _tidy(line: str) -> str:
    """Shorten tokens, and remove what differs between runs: ports and times."""
    line = re.sub(r"eyJ[\w.-]+", "eyJ…", line)
    line = re.sub(r"(?<=example|..0.0.1):\d{2,5}", ":PORT", line)
    return re.sub(r"\[[\d:]+\] ", "", line)


def _status(log: Sequence[str]) -> str:
    """Return the HTTP status in the newest line of an access log."""
    return log[-1].split('" ')[1].split(" ")[0] if log else "no answer"


def main() -> None:
    """Run all attacks, and save them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--save", type=Path, required=True, metavar="FILE")
    path: Path = parser.parse_args().save
    try:
        run = asyncio.run(stage_attacks())
    except LabError as error:
        raise SystemExit(str(error)) from None
    write_json(path, run.about, {"attacks": msgspec.to_builtins(run.attacks)})
    print(f"{path}: {len(run.attacks)} attacks")


if __name__ == "__main__":
    main()
