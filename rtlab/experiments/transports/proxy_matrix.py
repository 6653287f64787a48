"""What real proxies do to each transport: pass it, block it, buffer it, or cut it when idle."""

# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false, reportUnknownVariableType=false
# pyright: reportUnknownArgumentType=false

from __future__ import annotations

import asyncio
import json
import time
from contextlib import AbstractAsyncContextManager, ExitStack, nullcontext
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

import msgspec

from rtlab.client.client_factory_by_transport import check_transports, make_client
from rtlab.client.event_emitter import Disconnected
from rtlab.errors import RtlabError
from rtlab.experiments.transports.feed_request import take_feed
from rtlab.lab.certificates import Certificates
from rtlab.lab.start_reverse_proxies import PROXY_SETTINGS, start_proxies
from rtlab.measure.recorder import Recorder
from rtlab.processes.owned_tasks import together
from rtlab.protocol.transport_names import TRANSPORTS
from rtlab.resources import data_path
from rtlab.widgets.verdicts.plain_table import PlainTable

if TYPE_CHECKING:
    import ssl as ssl_module

    import pandas as pd

    from rtlab.client.connection import Connection
    from rtlab.lab.lab import Lab

__all__ = [
    "RECORDED",
    "SETTING_NAMES",
    "Probe",
    "matrix_table",
    "matrix_view",
    "proxy_matrix",
    "recorded_matrix",
]

#: The recorded run in ``data/``.
RECORDED: Final = "proxy_matrix.json"

#: Proxy and setting → row heading in `matrix_table`.
SETTING_NAMES: Final[dict[tuple[str, str], str]] = {
    ("nginx", "deaf"): "nginx as it comes",
    ("nginx", "defaults"): "nginx as it comes, where the server sends X-Accel-Buffering: no",
    ("nginx", "right"): "nginx with the lines below",
    ("haproxy", "defaults"): "HAProxy as it comes",
    ("haproxy", "right"): "HAProxy with the lines below",
}

_MESSAGES: Final = 10
_RATE: Final = 20.0
_SIZE: Final = 100
#: Seconds to wait beyond the configured timeout before an idle connection counts as not cut, because
#: proxies' timers are late by up to a second.
_PATIENCE: Final = 1.5


class Probe(msgspec.Struct, frozen=True, kw_only=True):
    """What one proxy, in one configuration, did to one transport.

    Parameters
    ----------
    proxy, setting, transport : str
        The proxy, its setting (a key of `SETTING_NAMES`), and the transport.
    outcome : str
        ``"passes"``, ``"blocked"``, ``"buffered"`` or ``"cut when idle"``.
    connect_s : float
        Seconds until the transport was connected, or until that failed.
    held_s : float or None
        Longest transit of a pushed message in seconds. If a stream's first event did not arrive, how long
        the client waited for it.
    cut_s : float or None
        Seconds of silence until the connection was cut; None if it was not. nginx may count from up to
        0.3 s before the last byte, because it avoids resetting its timers.
    timeout_s : float
        Idle timeout in seconds, configured in place of the default.
    reason : str
        The client's error message or close reason; empty if the transport passes.
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
        """The outcome with its time in whole seconds, so that it reads the same on any machine."""
        if self.outcome == "buffered":
            return f"buffered ({self.held_s or 0:.0f} s)"
        if self.outcome == "cut when idle":
            return f"cut when idle ({self.cut_s or 0:.0f} s)"
        return self.outcome


async def proxy_matrix(
    lab: Lab,
    transports: tuple[str, ...] = TRANSPORTS,
    *,
    programs: tuple[str, ...] = tuple(PROXY_SETTINGS),
    timeout: float = 2.0,
    tls: bool = False,
) -> pd.DataFrame:
    """Measure what nginx and HAProxy do to each transport, with default and with correct settings.

    Parameters
    ----------
    lab : Lab
        A running lab. Its server's heartbeat interval (15 s by default) must exceed `timeout`; otherwise no
        connection is ever idle.
    transports : tuple of str
        Transports to test. For WebRTC this tests the signalling only, as data bypass an HTTP proxy.
    programs : tuple of str
        Proxies to test.
    timeout : float
        Idle timeout to configure, in seconds, at least 1.
    tls : bool
        Whether clients connect to the proxies over https and wss.

    Returns
    -------
    pandas.DataFrame
        One row for each probe, with the fields of `Probe` and its ``words``.

    Raises
    ------
    LabError
        When a proxy is not installed.

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
        async with proxies as urls:
            for transport in transports:
                # Connect once beforehand: importing modules must not count as a delay of the first proxy.
                async with make_client(transport, lab.url):
                    pass
            # Probes run concurrently, since they mostly wait. WebRTC's take turns: its handshake keeps a
            # core busy, so concurrent ones would slow each other down and look delayed by a proxy.
            turns = {name: asyncio.Lock() if name == "webrtc" else nullcontext() for name in transports}
            probes = await together(
                *(
                    _probe(proxy, setting, transport, url, timeout, trusted, turns[transport])
                    for (proxy, setting), url in urls.items()
                    for transport in transports
                )
            )
    return pd.DataFrame([{**msgspec.structs.asdict(probe), "words": probe.words} for probe in probes])


def matrix_view(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the probes as a frame: one row per transport, one column per proxy and setting.

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


def matrix_table(frame: pd.DataFrame) -> PlainTable:
    """Return the probes as a table for display: one row per proxy and setting, one column per transport.

    Parameters
    ----------
    frame : pandas.DataFrame
        From `proxy_matrix` or `recorded_matrix`.
    """
    transports = list(dict.fromkeys(frame["transport"]))
    rows: dict[tuple[str, str], dict[str, str]] = {}
    for probe in frame.to_dict(orient="records"):
        rows.setdefault((probe["proxy"], probe["setting"]), {})[probe["transport"]] = probe["words"]
    return PlainTable(
        ["", *transports],
        [
            [words, *(rows[key].get(name, "–") for name in transports)]
            for key, words in SETTING_NAMES.items()
            if key in rows
        ],
    )


def recorded_matrix() -> pd.DataFrame:
    """Return the recorded run that ships with rtlab, for machines without the proxies.

    Returns
    -------
    pandas.DataFrame
        As returned by `proxy_matrix`; ``frame.attrs["about"]`` says how it was recorded.
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
    """Wait for the turn, connect, take a short feed, then stay idle and see whether the proxy cuts."""
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
        # A proxy that refuses answers at once; behind one that buffers, the connect attempt times out.
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
    """Return the longest transit of a short feed in seconds, and the error if it failed."""
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
