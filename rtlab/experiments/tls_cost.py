"""What TLS costs: handshakes by version, first and resumed, in bytes, round trips and time."""

# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false

from __future__ import annotations

import asyncio
import ssl
import time
from typing import TYPE_CHECKING, Final, Literal
from urllib.parse import urlsplit

import msgspec
import numpy as np

from rtlab.client.factory import HasUrl, tls_of
from rtlab.errors import LabError
from rtlab.experiments.transport_comparison import Watch, server_pid
from rtlab.figures.palette import color_of, readable

if TYPE_CHECKING:
    import pandas as pd

    from rtlab.figures.chart import Chart

__all__ = ["VERSIONS", "Exchange", "TlsCost", "Version", "exchange", "tls_cost"]

Version = Literal["TLSv1.2", "TLSv1.3"]

VERSIONS: Final[tuple[Version, ...]] = ("TLSv1.2", "TLSv1.3")

_TIMEOUT: Final = 10.0
_READ_BYTES: Final = 65_536


class Exchange(msgspec.Struct, frozen=True, kw_only=True):
    """One connection: TCP, TLS, one small request and its answer.

    Parameters
    ----------
    version : str
        ``"TLSv1.2"``, ``"TLSv1.3"``, or ``"none"``.
    resumed : bool
        Whether the server continued an earlier session.
    connect : float
        Seconds of TCP's handshake.
    handshake : float
        Seconds of TLS's, until the client could send.
    round_trips : int
        How often the client sent in the handshake and had to wait for the answer.
    handshake_up_bytes, handshake_down_bytes : int
        Bytes of the handshake. Tickets that come after it are not among them.
    up_bytes, down_bytes : int
        Bytes of the whole exchange, tickets included.
    server_cpu, client_cpu : float
        CPU seconds of the whole exchange, NaN when not watched.
    """

    version: str
    resumed: bool
    connect: float
    handshake: float
    round_trips: int
    handshake_up_bytes: int
    handshake_down_bytes: int
    up_bytes: int
    down_bytes: int
    server_cpu: float = float("nan")
    client_cpu: float = float("nan")


class TlsCost:
    """What `tls_cost` measured.

    Attributes
    ----------
    exchanges : list of Exchange
        In the order in which they were made.
    """

    def __init__(self, exchanges: list[Exchange]) -> None:
        self.exchanges = exchanges

    @property
    def frame(self) -> pd.DataFrame:
        """Medians: a row for each version, first and resumed.

        Returns
        -------
        pandas.DataFrame
            ``handshake_ms``, ``round_trips``, bytes up and down of the handshake, of
            the whole exchange, and CPU of both ends in milliseconds.
        """
        import pandas as pd

        rows: dict[tuple[str, str], dict[str, float]] = {}
        for made in self.exchanges:
            key = made.version, "resumed" if made.resumed else "first"
            if key not in rows:
                same = [e for e in self.exchanges if (e.version, e.resumed) == (made.version, made.resumed)]
                rows[key] = _medians(same)
        index = pd.MultiIndex.from_tuples(list(rows), names=["version", "session"])
        return pd.DataFrame(list(rows.values()), index=index)

    def __repr__(self) -> str:
        versions = ", ".join(dict.fromkeys(made.version for made in self.exchanges))
        return f"<TlsCost: {versions}; {len(self.exchanges)} connections>"

    def _repr_html_(self) -> str:
        return self.frame.to_html(float_format="{:,.2f}".format, border=0)

    def plot(self) -> Chart:
        """Draw the handshakes' time and bytes.

        Returns
        -------
        Chart
            A matplotlib `Figure`.
        """
        from rtlab.figures.chart import Chart, dress

        frame = self.frame
        names = [" ".join(map(str, key)) for key in frame.index]
        chart = Chart(9, 3.4, about=f"the cost of TLS: {', '.join(names)}")
        columns = {
            "Handshake": ("handshake_ms", "ms (median)"),
            "Bytes of the exchange": ("bytes", "up and down"),
            "CPU, both ends": ("cpu_ms", "ms a connection"),
        }
        frame = frame.assign(
            bytes=frame["up_bytes"] + frame["down_bytes"],
            cpu_ms=frame["server_cpu_ms"] + frame["client_cpu_ms"],
        )
        for axes, (title, (column, label)) in zip(chart.subplots(1, 3), columns.items(), strict=True):
            dress(axes, title=title, ylabel=label)
            bars = axes.bar(
                range(len(names)), frame[column], color=[color_of("", i) for i in range(len(names))]
            )
            axes.bar_label(bars, fmt=readable, fontsize=8)
            axes.set_xticks(range(len(names)), names, rotation=30, ha="right")
        return chart


def _medians(same: list[Exchange]) -> dict[str, float]:
    def median(name: str, scale: float = 1.0) -> float:
        return float(np.median([getattr(made, name) for made in same])) * scale

    plain = ("round_trips", "handshake_up_bytes", "handshake_down_bytes", "up_bytes", "down_bytes")
    return {
        "handshake_ms": median("handshake", 1e3),
        **{name: median(name) for name in plain},
        "client_cpu_ms": median("client_cpu", 1e3),
        "server_cpu_ms": median("server_cpu", 1e3),
    }


async def exchange(
    url: str, context: ssl.SSLContext | None, session: ssl.SSLSession | None = None
) -> tuple[Exchange, ssl.SSLSession | None]:
    """Open a connection, ask for ``/healthz``, read the answer, and close.

    Parameters
    ----------
    url : str
        The server's base URL.
    context : ssl.SSLContext or None
        What to trust, and which versions; None speaks plain HTTP.
    session : ssl.SSLSession, optional
        To be resumed: from an earlier exchange with the same context.

    Returns
    -------
    exchange : Exchange
    session : ssl.SSLSession or None
        To be given to the next exchange.

    Raises
    ------
    LabError
        When the server did not answer 200.
    """
    parts = urlsplit(url)
    assert parts.hostname is not None
    request = f"GET /healthz HTTP/1.1\r\nHost: {parts.netloc}\r\nConnection: close\r\n\r\n".encode()
    began = time.perf_counter()
    async with asyncio.timeout(_TIMEOUT):
        reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
        connected = time.perf_counter()
        wire = _Wire(reader, writer, context, parts.hostname, session)
        try:
            await wire.shake_hands()
            ready = time.perf_counter()
            handshake = wire.up, wire.down
            answer = await wire.ask(request)
        finally:
            writer.close()
    if b" 200 " not in answer[:20]:
        raise LabError(f"expected 200 from {parts.path or '/healthz'}, got {answer[:80]!r}")
    made = Exchange(
        version=wire.version,
        resumed=wire.resumed,
        connect=connected - began,
        handshake=ready - connected if context is not None else 0.0,
        round_trips=wire.round_trips,
        handshake_up_bytes=handshake[0],
        handshake_down_bytes=handshake[1],
        up_bytes=wire.up,
        down_bytes=wire.down,
    )
    return made, wire.session


class _Wire:
    """A TLS client whose every byte passes through our hands; without a context, plain TCP.

    asyncio's own TLS can neither resume a session nor say how many bytes it moved.
    """

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        context: ssl.SSLContext | None,
        host: str,
        session: ssl.SSLSession | None,
    ) -> None:
        self.up = self.down = self.round_trips = 0
        self._reader = reader
        self._writer = writer
        self._in, self._out = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls: ssl.SSLObject | None = None
        if context is not None:
            self._tls = context.wrap_bio(self._in, self._out, server_hostname=host, session=session)

    @property
    def version(self) -> str:
        return (self._tls.version() if self._tls is not None else None) or "none"

    @property
    def resumed(self) -> bool:
        return self._tls is not None and bool(self._tls.session_reused)

    @property
    def session(self) -> ssl.SSLSession | None:
        return self._tls.session if self._tls is not None else None

    async def shake_hands(self) -> None:
        while self._tls is not None:
            try:
                self._tls.do_handshake()
            except ssl.SSLWantReadError:
                self.round_trips += int(self._flush())
                await self._fill()
            else:
                self._flush()
                return

    async def ask(self, request: bytes) -> bytes:
        """Send a request, and read until the server closes."""
        if self._tls is None:
            self.up += len(request)
            self._writer.write(request)
            answer = await self._reader.read()
            self.down += len(answer)
            return answer
        self._tls.write(request)
        self._flush()
        answer = bytearray()
        while True:
            try:
                piece = self._tls.read(_READ_BYTES)
            except ssl.SSLWantReadError:
                if not await self._fill():
                    return bytes(answer)
            except ssl.SSLError:  # closed without TLS's farewell, which a closing server may leave out
                return bytes(answer)
            else:
                if not piece:
                    return bytes(answer)
                answer += piece

    def _flush(self) -> bool:
        data = self._out.read()
        self.up += len(data)
        self._writer.write(data)
        return bool(data)

    async def _fill(self) -> bool:
        data = await self._reader.read(_READ_BYTES)
        self.down += len(data)
        if data:
            self._in.write(data)
        else:
            self._in.write_eof()
        return bool(data)


async def tls_cost(
    lab: HasUrl, *, versions: tuple[Version, ...] = VERSIONS, repeats: int = 20, plain: HasUrl | None = None
) -> TlsCost:
    """Measure first and resumed handshakes of each version, in turns.

    Parameters
    ----------
    lab : HasUrl
        Started with ``Lab(tls=True)``.
    versions : tuple of str
        Which.
    repeats : int
        Connections of each kind.
    plain : HasUrl, optional
        A lab without TLS, to compare with.

    Returns
    -------
    TlsCost

    Raises
    ------
    LabError
        When the lab has no TLS.

    Notes
    -----
    The certificate is one of a small authority: ECDSA P-256, one link. The chains of
    public sites are two or three certificates long, and cost some 2 to 4 KB more.

    Examples
    --------
    ::

        async with Lab(tls=True) as lab:
            cost = await tls_cost(lab)
        cost.frame
    """
    trusted = tls_of(lab)
    if trusted is None:
        raise LabError("expected a lab with TLS: start it with Lab.start(tls=True)")
    pid = await server_pid(lab)
    found: list[Exchange] = []
    contexts = [_only(version, trusted) for version in versions]
    plain_pid = await server_pid(plain) if plain is not None else 0
    for turn in range(repeats + 1):
        if plain is not None:
            made, _ = await _watched(plain_pid, plain.url, None, None)
            found += [made] if turn else []
        for context in contexts:
            first, session = await _watched(pid, lab.url, context, None)
            again, _ = await _watched(pid, lab.url, context, session)
            # The first turn warms both ends up.
            found += [first, again] if turn else []
    return TlsCost(found)


async def _watched(
    pid: int, url: str, context: ssl.SSLContext | None, session: ssl.SSLSession | None
) -> tuple[Exchange, ssl.SSLSession | None]:
    watch = Watch(pid)
    made, session = await exchange(url, context, session)
    server, client, _ = watch.read()
    return msgspec.structs.replace(made, server_cpu=server, client_cpu=client), session


def _only(version: Version, trusted: ssl.SSLContext) -> ssl.SSLContext:
    """Return a context for one version, that trusts what another one does."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    for authority in trusted.get_ca_certs(binary_form=True):
        context.load_verify_locations(cadata=authority)
    wanted = ssl.TLSVersion.TLSv1_2 if version == "TLSv1.2" else ssl.TLSVersion.TLSv1_3
    context.minimum_version = context.maximum_version = wanted
    return context
