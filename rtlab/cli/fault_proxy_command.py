"""``rtlab proxy``: the fault proxy in front of any TCP service, driven by a script or by Toxiproxy's API."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import signal
import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from rtlab.cli.common_flags import Json
from rtlab.errors import RtlabError

if TYPE_CHECKING:
    from rtlab.faults.fault_trace import Trace, TraceEvent
    from rtlab.faults.proxy.proxy_base_class import Proxy
    from rtlab.faults.script_player import Player
    from rtlab.faults.seeded_fault_timeline import FaultScript

__all__ = ["proxy"]

#: Seconds between two looks for new events of the trace.
_LOOK: Final = 0.1

#: Timeout, in seconds, of the trial connection to the upstream before the proxy listens.
_UPSTREAM_TIMEOUT: Final = 3.0


def proxy(
    upstream: Annotated[str, typer.Argument(help="HOST:PORT of the service; a URL will do.")],
    *,
    listen: Annotated[str, typer.Option(help="HOST:PORT to listen on; port 0 lets the system choose.")] = (
        "127.0.0.1:0"
    ),
    script: Annotated[Path | None, typer.Option(help="Play this JSON file of faults.")] = None,
    seed: Annotated[
        int | None, typer.Option(help="Source of everything random; the script's own if left out.")
    ] = None,
    api: Annotated[
        int, typer.Option(min=0, max=65535, help="Port of Toxiproxy's API on 127.0.0.1; 0: any.")
    ] = 8474,
    name: Annotated[str, typer.Option(help="The proxy's name in the API.")] = "upstream",
    token: Annotated[
        bool, typer.Option("--token/--no-token", help="Toxiproxy's own clients send no token.")
    ] = True,
    as_json: Json = False,
) -> None:
    """Put the fault proxy in front of a TCP service, until Ctrl-C; print what it does to whom."""
    played = None if script is None else _load(script, seed)
    secret = secrets.token_urlsafe(16) if token else None
    asyncio.run(_run(name, listen, _address(upstream), played, seed or 0, api, secret, as_json=as_json))


def _load(path: Path, seed: int | None) -> FaultScript:
    import msgspec

    from rtlab.faults.errors import FaultError
    from rtlab.faults.seeded_fault_timeline import FaultScript

    try:
        script = FaultScript.load(path)
        return script if seed is None else msgspec.structs.replace(script, seed=seed).checked()
    except OSError as error:
        raise RtlabError(f"cannot read the script {path}: {error.strerror}") from None
    except FaultError as error:
        raise RtlabError(
            f'{path} cannot be played: {error}; one line is {{"steps": [{{"at": 1, "do": "cut"}}]}}'
        ) from None


def _address(upstream: str) -> str:
    """Return an upstream as ``host:port``; a URL without a port gets its scheme's default."""
    from rtlab.protocol.urls import parse_url, shown

    if "://" not in upstream:
        _, colon, port = upstream.rpartition(":")
        if not colon or not port.isdecimal() or not 0 < int(port) < 65536:
            raise RtlabError(
                f"expected UPSTREAM as HOST:PORT with a port from 1 to 65535, got {shown(upstream)}"
            )
        return upstream
    _, host, port = parse_url(upstream).origin
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


async def _look_at(upstream: str) -> str:
    """Return a warning if nothing listens at the upstream yet; raise if its host name is unknown."""
    from rtlab.faults.proxy.proxy_base_class import split_address

    try:
        async with asyncio.timeout(_UPSTREAM_TIMEOUT):
            _, writer = await asyncio.open_connection(*split_address(upstream))
    except socket.gaierror as error:
        raise RtlabError(
            f"no address is known for {upstream} ({error.strerror}): is the name right?"
        ) from None
    except (OSError, TimeoutError):
        return f"nothing listens at {upstream} yet: connections fail until the service runs"
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()
    return ""


async def _run(
    name: str,
    listen: str,
    upstream: str,
    script: FaultScript | None,
    seed: int,
    port: int,
    token: str | None,
    *,
    as_json: bool,
) -> None:
    from aiohttp import web

    from rtlab.faults.fault_trace import Trace
    from rtlab.faults.proxy.proxy_collection import Collection
    from rtlab.faults.script_player import Player
    from rtlab.faults.toxiproxy_http_api import make_app
    from rtlab.processes.descriptor_limit import raise_nofile
    from rtlab.processes.expect_100_continue import remove_expect_header
    from rtlab.processes.http_server_log_filter import server_log

    raise_nofile()
    warning = await _look_at(upstream)
    stopped = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    trace, player = Trace(), Player()
    collection = Collection(trace, seed)
    runner = web.AppRunner(
        make_app(collection, token, player),
        access_log=None,
        logger=server_log("rtlab.faults.http"),
        shutdown_timeout=2.0,
    )
    await runner.setup()
    remove_expect_header(runner.server)
    try:
        try:
            await web.TCPSite(runner, "127.0.0.1", port).start()
        except OSError:
            raise RtlabError(f"port {port} is taken: choose another with --api, or 0 for any") from None
        began = time.monotonic()  # the trace's clock; connections may come before the next line runs
        made = await collection.create({"name": name, "listen": listen, "upstream": upstream})
        about = {
            "listen": made.listen,
            "upstream": upstream,
            "api": f"http://127.0.0.1:{runner.addresses[0][1]}",
            "token": token,
        }
        _say(about, warning, as_json=as_json)
        if script is not None:
            await player.start(made, script)
        await _show(trace, made, player, stopped, began, as_json=as_json)
    finally:
        await runner.cleanup()  # stops the API, whose cleanup stops the player and closes the proxies


def _say(about: dict[str, str | None], warning: str, *, as_json: bool) -> None:
    if warning:
        print(f"rtlab: {warning}", file=sys.stderr, flush=True)
    if as_json:
        import msgspec

        print(msgspec.json.encode(about).decode(), flush=True)
        return
    token = f"token {about['token']}" if about["token"] is not None else "no token"
    print(f"{about['listen']} → {about['upstream']}")
    print(f"{about['api']} speaks Toxiproxy's API, {token}\nCtrl-C stops it", flush=True)


async def _show(
    trace: Trace, made: Proxy, player: Player, stopped: asyncio.Event, began: float, *, as_json: bool
) -> None:
    """Print the trace as it grows, above a progress bar of the script, until stopped."""
    import msgspec
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn

    console = Console(highlight=False, soft_wrap=True)
    plain = as_json or not console.is_terminal
    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.fields[counts]}"))
    seen = 0
    with Progress(*columns, console=console, transient=True, disable=plain) as progress:
        task = progress.add_task("no script", total=None, counts="")
        ended = False
        while True:
            for event in trace.since(seen):
                line = msgspec.json.encode(event).decode() if as_json else _line(event, began)
                print(line, flush=True) if plain else console.print(line, markup=False)
            seen = trace.next
            if ended:
                return
            status = player.status()
            if status["actions"]:
                words = f"script {status['name'] or ''} seed {status['seed']}".replace("  ", " ")
                progress.update(task, description=words, total=status["actions"], completed=status["done"])
            progress.update(task, counts=" · ".join(_counts(made)))
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_LOOK):
                    await stopped.wait()
            ended = stopped.is_set()


def _counts(made: Proxy) -> Iterator[str]:
    yield f"{len(made.links)} open"
    for direction, counts in made.byte_counts().items():
        yield f"{direction} {counts['sent_bytes']:,} B"


def _line(event: TraceEvent, began: float) -> str:
    """Format an event: seconds since the start, its kind, the connection, details, bytes affected."""
    parts = [f"{event.t - began:8.3f}", f"{event.kind:<15}"]
    parts += [f"#{event.connection}"] if event.connection else []
    parts += [word for word in (event.direction, event.toxic, event.detail) if word]
    return " ".join([*parts, *([f"({event.bytes} B{_fate(event)})"] if event.bytes else [])])


def _fate(event: TraceEvent) -> str:
    """Return what befell an event's bytes, as `TraceEvent.bytes` says; nothing if the detail tells it."""
    if event.kind in ("ended", "proxy_down"):
        return " lost"
    return "" if event.kind == "affected" and event.detail else " held"
