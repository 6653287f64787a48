"""Makes ``data/browser_heads.json`` again: ``python -m tests.refresh_browser_heads``.

A page of a local server, in Chromium, uses all that a page can use to talk to its server;
what is kept is the head of each request, as it came.
"""

from __future__ import annotations

import asyncio
from typing import Final

from rtlab.measure.provenance import provenance, write_json
from rtlab.resources import data_path
from tests.browser.lab import open_browser

#: What stands in place of the local address.
HOST: Final = "app.example.com"

_PAGE: Final = b"""<!doctype html><title>heads</title>"""
_ASK: Final = """async () => {
  const body = JSON.stringify({ type: "chat", payload: "x".repeat(70) });
  const headers = { "Content-Type": "application/json" };
  await fetch("/send?session=0123456789abcdef", { method: "POST", headers, body });
  await fetch("/poll?cursor=0123456789abcdef");
  const stream = new EventSource("/sse");
  const socket = new WebSocket(location.origin.replace("http", "ws") + "/ws");
  const failed = new Promise((resolve) => { stream.onerror = resolve; });
  const closed = new Promise((resolve) => { socket.onclose = resolve; });
  await Promise.all([failed, closed]);
  stream.close();
}"""


async def heads() -> dict[str, str]:
    """Return the head of each request: path → text."""
    found: dict[str, str] = {}

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        found.setdefault(head.split()[1].partition("?")[0], head)
        body = _PAGE if head.startswith("GET / ") else b""
        lines = ["HTTP/1.1 200 OK", "Content-Type: text/html", f"Content-Length: {len(body)}"]
        writer.write("\r\n".join([*lines, "Connection: close", "", ""]).encode() + body)
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with asyncio.timeout(60), server, open_browser() as browser:
        page = await browser.new_page()
        await page.goto(f"http://127.0.0.1:{port}/")
        await page.evaluate(_ASK)
    wanted = ("/send", "/poll", "/sse", "/ws")
    return {path: found[path].replace(f"127.0.0.1:{port}", HOST) for path in wanted}


def main() -> None:
    """Record and write."""
    about = provenance("python -m tests.refresh_browser_heads", {"chromium": "--version"})
    write_json(data_path("browser_heads.json"), about, {"heads": asyncio.run(heads())})


if __name__ == "__main__":
    main()
