"""What real proxies do to each transport: pass it, block it, hold it back, or cut it when idle."""

# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false

from __future__ import annotations

import asyncio
import json
import tempfile
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, ExitStack, asynccontextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol
from urllib.parse import urlsplit

import msgspec

from rtlab.client.events import Disconnected
from rtlab.client.factory import TRANSPORTS, check_transports, make_client
from rtlab.errors import LabError, RtlabError
from rtlab.experiments.transport_comparison import take_feed
from rtlab.lab.certificates import Certificates
from rtlab.lab.proxy_configs import SETTINGS, haproxy_config, nginx_config
from rtlab.measure.recorder import Recorder
from rtlab.processes.host import accepts, find_program, free_port
from rtlab.resources import data_path

if TYPE_CHECKING:
    import ssl as ssl_module

    import pandas as pd

    from rtlab.client.connection import Connection

__all__ = ["RECORDED", "Probe", "matrix_view", "proxy_matrix", "recorded_matrix", "start_proxies"]

#: The recorded run in ``data/``.
RECORDED: Final = "proxy_matrix.json"

_MESSAGES: Final = 10
_RATE: Final = 20.0
_SIZE: Final = 100
#: Waits beyond the configured timeout: for what is not cut, and for a proxy's late timer.
_PATIENCE: Final = 1.5
_START_TIMEOUT: Final = 15.0
_STOP_TIMEOUT: Final = 3.0


class _Child(Protocol):
    async def stop(self, timeout: float) -> None: ...
    async def until(self, ready: Callable[[], Awaitable[bool]], timeout: float) -> None: ...


class _Lab(Protocol):
    @property
    def url(self) -> str: ...
    async def spawn(self, argv: Sequence[str], *, name: str = "", port: int | None = None) -> Any: ...


class Probe(msgspec.Struct, frozen=True, kw_only=True):
    """What one proxy, so configured, did to one transport.

    Parameters
    ----------
    proxy, setting, transport : str
        Which.
    outcome : str
        ``"passes"``, ``"blocked"``, ``"buffered"`` or ``"cut when idle"``.
    connect_s : float
        Seconds until connected, or until that failed.
    held_s : float or None
        The longest that a pushed message was on its way; of a stream whose first
        event did not come, how long it was waited for.
    cut_s : float or None
        Seconds of silence until the connection ended, None if it stayed. nginx may
        count from up to 0.3 s before the last byte: it spares itself resetting timers.
    timeout_s : float
        What was configured in place of the default idle timeout.
    reason : str
        The client's words.
    """

    proxy: str
    setting: str
    transport: str
    outcome: str
    connect_s: float
    held_s: float | None = None
    cut_s: float | None = None
    timeout_s: float
    reason: str = ""

    @property
    def words(self) -> str:
        """The outcome with its time in whole seconds: the same on any machine."""
        if self.outcome == "buffered":
            return f"buffered ({self.held_s or 0:.0f} s)"
        if self.outcome == "cut when idle":
            return f"cut when idle ({self.cut_s or 0:.0f} s)"
        return self.outcome


@asynccontextmanager
async def start_proxies(
    lab: _Lab,
    programs: tuple[str, ...] = ("nginx", "haproxy"),
    *,
    timeout: float = 2.0,
    certificates: Certificates | None = None,
) -> AsyncGenerator[dict[tuple[str, str], str]]:
    """Run real proxies in front of a lab, on ports of their own, for the time of the block.

    Parameters
    ----------
    lab : _Lab
        A running `Lab`.
    programs : tuple of str
        ``"nginx"``, ``"haproxy"``.
    timeout : float
        Seconds in place of the default idle timeouts.
    certificates : Certificates, optional
        With these the proxies serve https and wss, and TLS ends at them.

    Yields
    ------
    dict
        (program, setting) → the server's URL through it.

    Raises
    ------
    LabError
        When a program is missing: it says how to get it. Also for a lab whose own
        server speaks TLS.
    """
    for name in programs:
        if name not in SETTINGS:
            raise ValueError(f"expected some of {', '.join(SETTINGS)}, got {name!r}")
        if find_program(name) is None:
            raise LabError(
                f"{name} is not installed: `apt install {name}` (Debian, Ubuntu) or `brew install {name}` "
                "(macOS) brings it; `recorded_matrix()` shows a recorded run"
            )
    scheme, upstream = urlsplit(lab.url).scheme, urlsplit(lab.url).port
    if scheme != "http":
        raise LabError("expected a lab without TLS behind the proxies: TLS ends at them, see tls=True")
    assert upstream is not None
    urls: dict[tuple[str, str], str] = {}
    children: list[_Child] = []
    with tempfile.TemporaryDirectory(prefix="rtlab-") as folder:
        pem = ""
        if certificates is not None:
            pem, scheme = _write_pem(certificates, Path(folder)), "https"
        try:
            for name in programs:
                ports = {setting: free_port() for setting in SETTINGS[name]}
                children.append(await _start(lab, name, Path(folder), upstream, ports, timeout, pem))
                urls |= {(name, setting): f"{scheme}://127.0.0.1:{port}" for setting, port in ports.items()}
            yield urls
        finally:
            for child in children:
                await child.stop(_STOP_TIMEOUT)


def _write_pem(certificates: Certificates, folder: Path) -> str:
    """Put chain and key into one file, as HAProxy wants them; returns its path."""
    path = folder / "certificate.pem"
    path.write_bytes(certificates.certfile.read_bytes() + certificates.keyfile.read_bytes())
    return str(path)


async def _start(
    lab: _Lab, name: str, folder: Path, upstream: int, ports: dict[str, int], timeout: float, pem: str
) -> _Child:
    make = nginx_config if name == "nginx" else haproxy_config
    path = folder / f"{name}.conf"
    path.write_text(make(str(folder), upstream, ports, timeout, pem), encoding="utf-8")
    argv = {
        "nginx": ["nginx", "-e", "stderr", "-p", str(folder), "-c", str(path)],
        "haproxy": ["haproxy", "-db", "-f", str(path)],
    }[name]
    child: _Child = await lab.spawn(argv, name=name)
    try:
        for port in ports.values():  # they open one after the other
            await child.until(lambda port=port: accepts(port), _START_TIMEOUT)
    except BaseException:
        await child.stop(_STOP_TIMEOUT)
        raise
    return child


async def proxy_matrix(
    lab: _Lab,
    transports: tuple[str, ...] = TRANSPORTS,
    *,
    programs: tuple[str, ...] = ("nginx", "haproxy"),
    timeout: float = 2.0,
    tls: bool = False,
) -> pd.DataFrame:
    """Measure what nginx and HAProxy do to each transport, as they come and set right.

    Parameters
    ----------
    lab : _Lab
        A running `Lab` whose server's heartbeat is longer than `timeout` (15 s unless
        you changed it): else nothing is ever idle.
    transports : tuple of str
        Which. WebRTC's row is its signalling: the data do not pass a proxy of HTTP.
    programs : tuple of str
        Which proxies.
    timeout : float
        Idle timeout to configure, in seconds, from 1.
    tls : bool
        Over https and wss, up to the proxies.

    Returns
    -------
    pandas.DataFrame
        A row for each probe, the fields of `Probe` and its ``words``.

    Raises
    ------
    LabError
        When a program is missing.

    Examples
    --------
    ::

        matrix_view(await proxy_matrix(lab))
    """
    import pandas as pd

    check_transports(transports)
    if not timeout >= 1:
        raise ValueError(f"expected a timeout of at least 1 s, got {timeout!r}: timers are coarse")
    with ExitStack() as stack:
        made = Certificates() if tls else None
        if made is not None:
            stack.callback(made.remove)
        trusted = made.client_context if made is not None else None
        proxies = start_proxies(lab, programs, timeout=timeout, certificates=made)
        async with proxies as urls, asyncio.TaskGroup() as group:
            # All at once: they wait nearly all of the time. But WebRTC's opening keeps a core busy,
            # so that several at once would be slow, as if a proxy held them up.
            turns = {name: asyncio.Lock() if name == "webrtc" else nullcontext() for name in transports}
            tasks = [
                group.create_task(_probe(proxy, setting, transport, url, timeout, trusted, turns[transport]))
                for (proxy, setting), url in urls.items()
                for transport in transports
            ]
    probes = [task.result() for task in tasks]
    return pd.DataFrame([{**msgspec.structs.asdict(probe), "words": probe.words} for probe in probes])


def matrix_view(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the probes as a table: a row for each transport, a column for each proxy and setting.

    Parameters
    ----------
    frame : pandas.DataFrame
        From `proxy_matrix` or `recorded_matrix`.
    """
    columns = list(zip(frame["proxy"], frame["setting"], strict=True))
    wide = frame.pivot_table(
        index="transport", columns=["proxy", "setting"], values="words", aggfunc="first", sort=False
    )
    rows = list(dict.fromkeys(frame["transport"]))
    return wide.loc[rows, list(dict.fromkeys(columns))]


def recorded_matrix() -> pd.DataFrame:
    """Return the run that travels with rtlab, for machines without the proxies.

    Returns
    -------
    pandas.DataFrame
        As from `proxy_matrix`; ``frame.attrs["about"]`` says how it was made.
    """
    import pandas as pd

    kept = json.loads(data_path(RECORDED).read_text(encoding="utf-8"))
    frame = pd.DataFrame(kept["probes"])
    frame.attrs["about"] = kept["about"]
    return frame


async def _probe(
    proxy: str,
    setting: str,
    transport: str,
    url: str,
    timeout: float,
    ssl: ssl_module.SSLContext | None,
    turn: AbstractAsyncContextManager[None],
) -> Probe:
    """Connect when it is our turn, take a short feed, then stay silent and see what happens."""
    conn = make_client(transport, url, ssl=ssl, connect_timeout=timeout + _PATIENCE)
    ended: asyncio.Future[Disconnected] = asyncio.get_running_loop().create_future()
    conn.on("disconnected", lambda event: ended.done() or ended.set_result(event))
    began = 0.0

    def probe(outcome: str, *, reason: str = "", **found: Any) -> Probe:
        return Probe(
            proxy=proxy,
            setting=setting,
            transport=transport,
            outcome=outcome,
            timeout_s=timeout,
            reason=reason.replace(urlsplit(url).netloc, proxy),
            **found,
        )

    try:
        async with turn:
            began = time.monotonic()
            await conn.connect()
    except RtlabError as error:
        took = time.monotonic() - began
        await conn.close()
        # What is refused is refused at once; what is held back comes to nothing when time is up.
        if took < timeout / 2:
            return probe("blocked", connect_s=took, reason=str(error))
        return probe("buffered", connect_s=took, held_s=took, reason=str(error))
    took = time.monotonic() - began
    try:
        held, reason = await _held(conn, transport)
        if took > timeout / 2 or held > timeout / 2:
            return probe("buffered", connect_s=took, held_s=max(took, held), reason=reason)
        silent_since = time.monotonic()
        try:
            async with asyncio.timeout(timeout + _PATIENCE):
                event = await asyncio.shield(ended)
        except TimeoutError:
            return probe("passes", connect_s=took, held_s=held)
        cut = time.monotonic() - silent_since
        return probe("cut when idle", connect_s=took, held_s=held, cut_s=cut, reason=event.reason)
    finally:
        await conn.close()
        ended.cancel()


async def _held(conn: Connection, transport: str) -> tuple[float, str]:
    """Return the longest transit of a short feed, in seconds, and what went wrong with it."""
    recorder = Recorder()
    began = time.monotonic()
    with recorder.attach(conn, transport):
        try:
            await take_feed(conn, transport, _RATE, _SIZE, _MESSAGES)
        except RtlabError as error:
            return time.monotonic() - began, str(error)
        except TimeoutError:
            return time.monotonic() - began, "no answer to a request"
    return recorder.percentiles(transport, (100,), "transit")[100] / 1e3, ""
