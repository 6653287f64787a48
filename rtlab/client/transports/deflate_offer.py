"""The client's offer of permessage-deflate (RFC 7692 §7.1)."""

from __future__ import annotations

from typing import Any, Final, Literal, cast

from rtlab.client.transports.websockets_frame_checks import ClientDeflate
from rtlab.protocol.permessage_deflate import Deflate

__all__ = ["Compression", "offer"]

Compression = Literal["deflate"] | Deflate | None

_KINDS: Final = 'expected compression to be "deflate", a Deflate or None, got {!r}'


def offer(compression: Compression) -> dict[str, Any]:
    """Return arguments for the `connect` of `websockets` that offer a compression, with strict reading.

    Parameters
    ----------
    compression : {"deflate"}, Deflate or None
        ``"deflate"`` for the library's default parameters, a `Deflate` for others; None: no compression.

    Raises
    ------
    TypeError
        `compression` is anything else.

    Examples
    --------
    >>> offer("deflate")  # doctest: +ELLIPSIS
    {'compression': None, 'extensions': [<...ClientDeflate object at 0x...>]}
    """
    if compression is None:
        return {"compression": None}
    if compression == "deflate":  # with the parameters that the library offers by default
        return {"compression": None, "extensions": [ClientDeflate(compress_settings={"memLevel": 5})]}
    if not isinstance(cast("object", compression), Deflate):
        raise TypeError(_KINDS.format(compression))
    server_bits, client_bits = compression.server_max_window_bits, compression.client_max_window_bits
    factory = ClientDeflate(
        server_no_context_takeover=compression.server_no_context_takeover,
        client_no_context_takeover=compression.client_no_context_takeover,
        # 15 is the default of the standard, so it is not sent. True lets the server set a limit.
        server_max_window_bits=server_bits if server_bits < 15 else None,
        client_max_window_bits=client_bits if client_bits < 15 else True,
        compress_settings={"level": compression.level, "memLevel": compression.memory_level},
    )
    return {"compression": None, "extensions": [factory]}
