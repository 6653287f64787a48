"""Cost of TLS: bytes, round trips and time of full and resumed handshakes, by TLS version."""

# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING, Final, Literal

import msgspec
import numpy as np

from rtlab.capture.tls_handshake_bytes import TlsExchange, tls_exchange
from rtlab.errors import LabError
from rtlab.measure.cpu_time import CpuWatch

if TYPE_CHECKING:
    import pandas as pd

    from rtlab.figures.chart_style.matplotlib_style import Chart
    from rtlab.lab.lab import Lab

__all__ = ["VERSIONS", "TlsCost", "Version", "tls_cost"]

Version = Literal["TLSv1.2", "TLSv1.3"]

VERSIONS: Final[tuple[Version, ...]] = ("TLSv1.2", "TLSv1.3")


class TlsCost:
    """The result of `tls_cost`.

    Attributes
    ----------
    exchanges : list of TlsExchange
        All connections, in the order in which they were made.
    """

    def __init__(self, exchanges: list[TlsExchange]) -> None:
        self.exchanges = exchanges

    @property
    def frame(self) -> pd.DataFrame:
        """Medians, with one row per version for first and one for resumed handshakes.

        Returns
        -------
        pandas.DataFrame
            Columns ``handshake_ms``, ``round_trips``, bytes up and down of the handshake and of the whole
            exchange, and CPU time of client and server in milliseconds.
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
        """Draw time and bytes of the handshakes.

        Returns
        -------
        Chart
            A matplotlib `Figure`.
        """
        from rtlab.figures.transports.tls_cost import tls_cost_figure

        return tls_cost_figure(self.frame)


def _medians(same: list[TlsExchange]) -> dict[str, float]:
    def median(name: str, scale: float = 1.0) -> float:
        return float(np.median([getattr(made, name) for made in same])) * scale

    plain = ("round_trips", "handshake_up_bytes", "handshake_down_bytes", "up_bytes", "down_bytes")
    return {
        "handshake_ms": median("handshake", 1e3),
        **{name: median(name) for name in plain},
        "client_cpu_ms": median("client_cpu", 1e3),
        "server_cpu_ms": median("server_cpu", 1e3),
    }


async def tls_cost(
    lab: Lab, *, versions: tuple[Version, ...] = VERSIONS, repeats: int = 20, plain: Lab | None = None
) -> TlsCost:
    """Measure first (full) and resumed handshakes of each TLS version, in turn.

    Parameters
    ----------
    lab : Lab
        A lab with TLS, such as ``Lab(tls=True)``.
    versions : tuple of str
        TLS versions to measure.
    repeats : int
        Number of connections of each kind.
    plain : Lab, optional
        A lab without TLS, for comparison. None: no comparison.

    Returns
    -------
    TlsCost

    Raises
    ------
    LabError
        When the lab has no TLS.

    Notes
    -----
    The server sends a single ECDSA P-256 certificate, issued by a local authority. The chains of public
    sites are two or three certificates long, and cost some 2 to 4 KB more.

    Examples
    --------
    ::

        async with Lab(tls=True) as lab:
            cost = await tls_cost(lab)
        cost.frame
    """
    trusted = lab.ssl
    if trusted is None:
        raise LabError("expected a lab with TLS: start it with Lab.start(tls=True)")
    pid = lab.pids[0]
    found: list[TlsExchange] = []
    contexts = [_only(version, trusted) for version in versions]
    plain_pid = plain.pids[0] if plain is not None else 0
    for turn in range(repeats + 1):
        if plain is not None:
            made, _ = await _watched(plain_pid, plain.url, None, None)
            found += [made] if turn else []
        for context in contexts:
            first, session = await _watched(pid, lab.url, context, None)
            again, _ = await _watched(pid, lab.url, context, session)
            # The first turn warms up the caches of both ends and is not counted.
            found += [first, again] if turn else []
    return TlsCost(found)


async def _watched(
    pid: int, url: str, context: ssl.SSLContext | None, session: ssl.SSLSession | None
) -> tuple[TlsExchange, ssl.SSLSession | None]:
    watch = CpuWatch(pid)
    made, session = await tls_exchange(url, context, session)
    server, client, _ = watch.read()
    return msgspec.structs.replace(made, server_cpu=server, client_cpu=client), session


def _only(version: Version, trusted: ssl.SSLContext) -> ssl.SSLContext:
    """Return a context for one TLS version that trusts the same authorities as `trusted`."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    for authority in trusted.get_ca_certs(binary_form=True):
        context.load_verify_locations(cadata=authority)
    wanted = ssl.TLSVersion.TLSv1_2 if version == "TLSv1.2" else ssl.TLSVersion.TLSv1_3
    context.minimum_version = context.maximum_version = wanted
    return context
