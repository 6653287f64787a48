"""The report of a probe."""

from __future__ import annotations

import msgspec

from rtlab.experiments.endpoint.endpoint_kind import EndpointKind

__all__ = ["Report"]


class Report(msgspec.Struct, kw_only=True):
    """What a probe found. Times are in milliseconds; None means that there was nothing to measure.

    Attributes
    ----------
    url, kind, address : str
        The URL without its query; the kind of endpoint found there; the IP address that answered.
    dns_ms, tcp_ms, tls_ms, answer_ms : float or None
        Duration of each step of opening. `dns_ms` is None if the URL names an IP address; `answer_ms` runs
        from the request to the head of the answer.
    tls : str
        TLS version and cipher; empty without TLS.
    status : int
        HTTP status of the answer.
    headers : dict
        Header fields of the answer, with names in lower case.
    subprotocol, extensions : str
        Subprotocol and extensions that the server chose.
    round_trips : int
        Number of round trips measured.
    round_trip_of : str
        What a round trip is: ``"ping frames"`` or ``"requests"``.
    p50_ms, p99_ms : float or None
        Median and 99th percentile of the round trips.
    heartbeat, idle, resumes, nonsense : str
        In words: the server's heartbeats and unsolicited messages; when it closed an idle connection;
        whether it resumes a session; how it answers invalid input.
    incomplete : str
        Why the probe ended before it had finished; empty if it finished.
    """

    url: str
    kind: EndpointKind
    address: str
    dns_ms: float | None
    tcp_ms: float
    tls_ms: float | None
    answer_ms: float
    tls: str = ""
    status: int = 0
    headers: dict[str, str] = {}
    subprotocol: str = ""
    extensions: str = ""
    round_trips: int = 0
    round_trip_of: str = ""
    p50_ms: float | None = None
    p99_ms: float | None = None
    heartbeat: str = "none seen"
    idle: str = ""
    resumes: str = "no sign of it"
    nonsense: str = ""
    incomplete: str = ""
