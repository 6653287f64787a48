"""Negotiates permessage-deflate between server and client (RFC 7692 §7.1)."""

from __future__ import annotations

from typing import NamedTuple

import msgspec

from rtlab.protocol.permessage_deflate import Deflate

__all__ = ["Agreement", "agree"]


class Agreement(NamedTuple):
    """The outcome of a negotiation.

    Parameters
    ----------
    header : str
        Value of ``Sec-WebSocket-Extensions`` in the response.
    deflate : Deflate
        The parameters that both sides use from now on.
    """

    header: str
    deflate: Deflate


def agree(own: Deflate, offered: str) -> Agreement | None:
    """Answer a client's offer of permessage-deflate.

    Parameters
    ----------
    own : Deflate
        The parameters that the server wants.
    offered : str
        The client's ``Sec-WebSocket-Extensions``; it may name several offers.

    Returns
    -------
    Agreement or None
        For the first acceptable offer; None if no offer is acceptable: no compression.

    Examples
    --------
    >>> agree(Deflate(server_no_context_takeover=True), "permessage-deflate").header
    'permessage-deflate; server_no_context_takeover'
    >>> agree(Deflate(), "x-webkit-deflate-frame")
    """
    # Imported here: a server that compresses nothing needs none of it.
    from websockets.exceptions import InvalidHeader, NegotiationError
    from websockets.extensions.permessage_deflate import ServerPerMessageDeflateFactory
    from websockets.headers import build_extension, parse_extension

    factory = ServerPerMessageDeflateFactory(
        server_no_context_takeover=own.server_no_context_takeover,
        client_no_context_takeover=own.client_no_context_takeover,
        # 15 bits is the default of both sides, so it is not named (RFC 7692 §7.1.2).
        server_max_window_bits=_unless_15(own.server_max_window_bits),
        client_max_window_bits=_unless_15(own.client_max_window_bits),
    )
    try:
        offers = parse_extension(offered)
    except InvalidHeader:
        return None
    for name, parameters in offers:
        if name != factory.name:
            continue
        try:
            answer, found = factory.process_request_params(parameters, [])
        except NegotiationError:
            continue
        return Agreement(
            build_extension([(factory.name, answer)]),
            msgspec.structs.replace(
                own,
                server_max_window_bits=found.local_max_window_bits,
                # A client may announce 8, which every inflater accepts; `Deflate` names what zlib can send.
                client_max_window_bits=max(9, found.remote_max_window_bits),
                server_no_context_takeover=found.local_no_context_takeover,
                client_no_context_takeover=found.remote_no_context_takeover,
            ),
        )
    return None


def _unless_15(bits: int) -> int | None:
    return None if bits == 15 else bits
