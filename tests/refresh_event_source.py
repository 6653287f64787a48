"""Makes ``data/event_source_chromium.json`` again: ``python -m tests.refresh_event_source``.

What a real browser's EventSource does: how many streams it opens to one host, when and how it
comes back, what ends it for good, and which rows of the format it keeps. The servers run here, on
127.0.0.1; Chromium is the only other party (and nginx, for HTTP/2).
"""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
import time
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any, Final

from playwright.async_api import Page

from rtlab.experiments.sse_conformance.parsing_cases import PARSING_CASES
from rtlab.lab.certificates import Certificates
from rtlab.lab.lab import Lab
from rtlab.measure.provenance import program_version, provenance, write_json
from rtlab.processes.ports import HeldPort, accepts
from rtlab.testing.scripted_http import ReceivedRequest, ScriptedServer, response
from tests.browser.lab import ROOT, chromium, open_browser

TARGET: Final = ROOT / "data" / "event_source_chromium.json"
COMMAND: Final = "python -m tests.refresh_event_source"
WANTED: Final = 8
_HEAD: Final = b"HTTP/1.1 200 X\r\nContent-Type: text/event-stream\r\nAccess-Control-Allow-Origin: *\r\n\r\n"

#: Opens streams and a request more; tells how many are open, and whether the request was answered.
STREAMS = """
async (urls) => {
  const sources = urls.map((url) => new EventSource(url));
  const soon = (ms) => new Promise((done) => setTimeout(done, ms));
  await soon(1500);
  const open = sources.filter((source) => source.readyState === EventSource.OPEN).length;
  let answered = false;
  fetch("/small").then(() => (answered = true));
  await soon(500);
  const whileOpen = answered;
  sources.slice(5).forEach((source) => source.close());
  await soon(500);
  const withFive = answered;
  sources.forEach((source) => source.close());
  return { asked: urls.length, open, answered_meanwhile: whileOpen, answered_with_five_streams: withFive };
}
"""

SOCKETS = """
async ([url, n]) => {
  const sockets = Array.from({ length: n }, () => new WebSocket(url, ["rtlab.v1.json"]));
  await new Promise((done) => setTimeout(done, 1500));
  const open = sockets.filter((socket) => socket.readyState === WebSocket.OPEN).length;
  sockets.forEach((socket) => socket.close());
  return { asked: n, open };
}
"""

#: Follows one stream for a while, and says how it stands then.
FOLLOW = """
async ([url, ms]) => {
  const source = new EventSource(url);
  await new Promise((done) => setTimeout(done, ms));
  const state = ["CONNECTING", "OPEN", "CLOSED"][source.readyState];
  source.close();
  return state;
}
"""

#: Reads one stream to its end; it then counts as lost, and is closed before it is asked for again.
PARSE = """
([url, types]) => new Promise((done) => {
  const got = [];
  const source = new EventSource(url);
  for (const type of types)
    source.addEventListener(type, (event) => {
      if (event instanceof MessageEvent) got.push([event.type, event.data, event.lastEventId]);
      else if (type === "error") { source.close(); done(got); }
    });
})
"""


@contextlib.asynccontextmanager
async def page_of(url: str) -> AsyncGenerator[Page]:
    """Open a page of a server in a browser of its own, whose connections nothing else has used."""
    async with open_browser() as browser:
        context = await browser.new_context(ignore_https_errors=True)
        page = await context.new_page()
        await page.goto(url)
        yield page


async def holds(request: ReceivedRequest, writer: asyncio.StreamWriter) -> None:
    """Serve a page, a small answer, and streams that stay open."""
    if request.path == "/stream":
        writer.write(_HEAD + b": open\n\n")
        await writer.drain()
        await asyncio.sleep(60)
    writer.write(response(200, b"<title>x</title>", content_type="text/html", connection="close"))


async def streams() -> dict[str, Any]:
    """Count the streams that open, over one name of the host and over two."""
    async with ScriptedServer(holds) as server:
        async with page_of(server.url) as page:
            one: Any = await page.evaluate(STREAMS, ["/stream"] * WANTED)
        other = server.url.replace("127.0.0.1", "localhost")
        urls = [f"{base}/stream" for base in (server.url, other) for _ in range(WANTED)]
        async with page_of(server.url) as page:
            two: Any = await page.evaluate(STREAMS, urls)
    return {"http1_one_host": one, "http1_two_names": two}


async def sockets() -> dict[str, Any]:
    """Count the WebSockets that open to one host."""
    async with Lab() as lab, page_of(lab.url) as page:
        return {"websockets": await page.evaluate(SOCKETS, [lab.ws_url, WANTED])}


NGINX = """
daemon off; pid {folder}/pid; error_log {folder}/error.log;
events {{}}
http {{
  access_log off; client_body_temp_path {folder}/a; proxy_temp_path {folder}/b; fastcgi_temp_path {folder}/c;
  uwsgi_temp_path {folder}/d; scgi_temp_path {folder}/e;
  server {{
    listen 127.0.0.1:{port} ssl http2;
    ssl_certificate {cert}; ssl_certificate_key {key};
    location / {{ proxy_pass {upstream}; proxy_http_version 1.1; proxy_buffering off; }}
  }}
}}
"""


async def http2() -> dict[str, Any]:
    """Count the streams that open through nginx with HTTP/2."""
    certificates = Certificates()
    try:
        async with asyncio.timeout(60), ScriptedServer(holds) as server:
            with HeldPort() as held, tempfile.TemporaryDirectory() as folder:
                config = Path(folder) / "nginx.conf"
                pair = {"cert": certificates.certfile, "key": certificates.keyfile}
                config.write_text(NGINX.format(folder=folder, port=held.port, upstream=server.url, **pair))
                nginx = await asyncio.create_subprocess_exec("nginx", "-c", str(config), "-p", folder)
                try:
                    while not await accepts(held.port):
                        await asyncio.sleep(0.05)
                    async with page_of(f"https://127.0.0.1:{held.port}") as page:
                        return {"http2_one_host": await page.evaluate(STREAMS, ["/stream"] * WANTED)}
                finally:
                    nginx.terminate()
                    await nginx.wait()
    finally:
        certificates.remove()


async def endings() -> dict[str, Any]:
    """Say what becomes of an EventSource after each answer: of its state, and of its requests."""
    answers = {
        "204": response(204),
        "503": response(503),
        "text/html": response(200, b"data: x\n\n", content_type="text/html"),
        "end of stream": response(200, b"retry: 100\ndata: x\n\n", content_type="text/event-stream"),
    }

    async def script(request: ReceivedRequest, writer: asyncio.StreamWriter) -> None:
        key = request.query.get("case")
        page = response(200, b"<title>x</title>", content_type="text/html")
        writer.write(page if key is None else answers[key])

    found: dict[str, Any] = {}
    async with ScriptedServer(script) as server, page_of(server.url) as page:
        for name in answers:
            state = await page.evaluate(FOLLOW, [f"/?case={name.replace(' ', '+')}", 4000])
            asked = sum(request.query.get("case") == name for request in server.requests)
            found[name] = {"ready_state": state, "requests_in_4_s": asked}
    return found


async def resuming() -> dict[str, Any]:
    """Say when the browser asks again, and with which Last-Event-ID: the same object, and a new one."""
    seen: list[tuple[float, str | None]] = []

    async def script(request: ReceivedRequest, writer: asyncio.StreamWriter) -> None:
        if request.path != "/stream":
            writer.write(response(200, b"<title>x</title>", content_type="text/html"))
            return
        last = request.headers.get("last-event-id")
        seen.append((time.monotonic(), None if last is None else last.decode()))
        writer.write(response(200, b"id: 7\ndata: x\n\n", content_type="text/event-stream"))

    async with ScriptedServer(script) as server, page_of(server.url) as page:
        await page.evaluate(FOLLOW, ["/stream", 5000])
        own = list(seen)
        seen.clear()
        await page.evaluate(FOLLOW, ["/stream", 1000])
    return {
        "default_wait_s": round(own[1][0] - own[0][0], 2),
        "same_object_sends": own[1][1],
        "new_object_sends": seen[0][1],
    }


async def format_rows() -> dict[str, Any]:
    """Count the rows of the format that the browser's own parser keeps, whole."""

    async def script(request: ReceivedRequest, writer: asyncio.StreamWriter) -> None:
        at = request.query.get("case")
        if at is None:
            writer.write(response(200, b"<title>x</title>", content_type="text/html"))
        else:
            case = PARSING_CASES[int(at)]
            writer.write(response(200, case.stream, content_type=case.content_type))

    lost: list[str] = []
    async with ScriptedServer(script) as server, page_of(server.url) as page:
        for at, case in enumerate(PARSING_CASES):
            types = sorted({"message", "error", *(event[0] for event in case.events)})
            got: Any = await page.evaluate(PARSE, [f"/?case={at}", types])
            if [tuple(event) for event in got] != list(case.events):
                lost.append(f"rule {case.rule}, {case.content_type}: {case.stream.decode()!r} gave {got}")
    return {"rows": len(PARSING_CASES), "kept": len(PARSING_CASES) - len(lost), "lost": lost}


async def main() -> None:
    """Run everything, and write it down."""
    result = {
        "connections": {**await streams(), **await http2(), **await sockets()},
        "resuming": await resuming(),
        "endings": await endings(),
        "format": await format_rows(),
    }
    about = provenance(COMMAND, {"nginx": "-v"})
    about["versions"]["chromium"] = program_version(chromium() or "chromium", "--version")
    write_json(TARGET, about, result)


if __name__ == "__main__":
    asyncio.run(main())
