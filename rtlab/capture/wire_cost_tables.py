"""What was counted on the wire, as tables: the cost of each transport, step and direction."""

# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

import msgspec

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["SEGMENT_HEADER_BYTES", "WireCost", "WireReport"]

#: Header bytes of each segment: IPv4 20, TCP 20, TCP timestamps option 12 (RFC 791, 9293, 7323).
SEGMENT_HEADER_BYTES: Final = 52


class WireCost(msgspec.Struct, frozen=True, kw_only=True):
    """What one step costs in one direction; for a push or a send, per message.

    Parameters
    ----------
    transport : str
        Name of the transport.
    step : str
        ``"connect"`` (until the welcome was read), ``"push"`` (one message from
        the server) or ``"send"`` (one message from the client).
    direction : str
        ``"up"`` is client to server.
    payload_bytes : float
        Bytes of the messages themselves, as JSON.
    framing_bytes : float or None
        Bytes that carry them: frame headers, chunks, event fields, bodies of responses to
        posts; for WebRTC: SCTP, DTLS and ICE. None under TLS, which hides them.
    http_bytes : float or None
        Heads of HTTP requests or responses. None under TLS.
    stream_bytes : float
        Payload bytes of TCP and UDP.
    packets : float
        Segments by the model, plus datagrams.
    wire_bytes : float
        `stream_bytes`, plus 52 for each segment and 28 for each datagram.
    kernel_packets : float or None
        Segments that the kernel counted, acknowledgements included, plus datagrams; None
        where the system does not report segments.
    """

    transport: str
    step: str
    direction: str
    payload_bytes: float
    framing_bytes: float | None
    http_bytes: float | None
    stream_bytes: float
    packets: float
    wire_bytes: float
    kernel_packets: float | None


class WireReport:
    """The measured costs of several transports.

    Parameters
    ----------
    costs : list of WireCost
        One for each transport, step and direction.
    size : int
        Bytes of each pushed payload.
    count : int
        Number of messages that was asked for, in each direction.
    encrypted : bool
        Whether TLS hid the framing.
    """

    def __init__(self, costs: list[WireCost], size: int, count: int, *, encrypted: bool = False) -> None:
        self.costs = costs
        self.size = size
        self.count = count
        self.encrypted = encrypted

    def cost(self, transport: str, step: str, direction: str) -> WireCost:
        """Return one row; raises `KeyError` when it was not measured."""
        for row in self.costs:
            if (row.transport, row.step, row.direction) == (transport, step, direction):
                return row
        raise KeyError(f"no row {transport}, {step}, {direction}")

    @property
    def frame(self) -> pd.DataFrame:
        """All rows, indexed by transport, step and direction."""
        import pandas as pd

        rows = pd.DataFrame([msgspec.structs.asdict(cost) for cost in self.costs])
        return rows.set_index(["transport", "step", "direction"]).astype(float)

    @property
    def per_message(self) -> pd.DataFrame:
        """Wire bytes of one message by the model, summed over both directions.

        *Cold* includes connecting for this one message, *warm* does not.

        Returns
        -------
        pandas.DataFrame
            A row for each transport; columns ``push_cold``, ``push_warm``,
            ``send_cold`` and ``send_warm``.
        """
        import pandas as pd

        rows: dict[str, dict[str, float]] = {}
        for name in dict.fromkeys(cost.transport for cost in self.costs):
            both = {
                step: sum(self.cost(name, step, direction).wire_bytes for direction in ("up", "down"))
                for step in ("connect", "push", "send")
            }
            rows[name] = {
                f"{step}_{kind}": both[step] + (both["connect"] if kind == "cold" else 0)
                for step in ("push", "send")
                for kind in ("cold", "warm")
            }
        return pd.DataFrame.from_dict(rows, orient="index").rename_axis("transport")

    def acknowledged(self, transport: str, step: str) -> float:
        """Return the wire bytes of a step, both directions, with the segments that the kernel counted.

        Unlike `per_message`, this includes bare acknowledgements.

        Parameters
        ----------
        transport, step : str
            As in `WireCost`.

        Returns
        -------
        float
            Bytes; NaN where the system does not report segments. WebRTC acknowledges in
            datagrams, which `per_message` counts too.
        """
        costs = [self.cost(transport, step, direction) for direction in ("up", "down")]
        alone = [cost.kernel_packets - cost.packets for cost in costs if cost.kernel_packets is not None]
        if len(alone) < len(costs):
            return math.nan
        return sum(cost.wire_bytes for cost in costs) + SEGMENT_HEADER_BYTES * sum(alone)

    def __repr__(self) -> str:
        names = ", ".join(dict.fromkeys(cost.transport for cost in self.costs))
        return f"<WireReport: {names}; {self.size} B payloads>"

    def _repr_html_(self) -> str:
        about = (
            f"Bytes for each message of {self.size} B, and for connecting. Segments of 1,448 B with "
            "52 B of headers, datagrams with 28 B."
        )
        table = self.frame.to_html(float_format="{:,.1f}".format, na_rep="–", border=0)
        return f"<p>{about}</p>{table}"
