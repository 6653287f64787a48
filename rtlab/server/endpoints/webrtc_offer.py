"""``POST /rtc/offer``: signalling for WebRTC data channels.

The request carries the client's offer, and the response the server's answer. Then the client opens
its data channel, or the server drops the peer. `webrtc_peers` does the rest, with the same sessions and
rooms as every other transport; it is slow to import, so it is imported at the first offer.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, Literal

import msgspec
from aiohttp import web

from rtlab.errors import MessageError
from rtlab.protocol.http_headers import PROTOCOL, PROTOCOL_FIELD
from rtlab.protocol.json_and_messagepack_codecs import parse_json
from rtlab.protocol.transport_paths import ROUTES
from rtlab.server.endpoints.checks_before_connecting import BadOpening, read_opening
from rtlab.server.endpoints.request_body_limits import BadBody, read_body
from rtlab.server.http_json_responses import NODE, json_error, json_response
from rtlab.webrtc.sdp_reader_and_editor import max_message_bytes

if TYPE_CHECKING:
    from rtlab.server.endpoints.webrtc_peers import RtcPeers

__all__ = ["PEERS", "OfferEndpoint", "add_routes"]

#: Bytes of the largest offer. One with a single data section takes 1 to 2 KiB, also in Chromium.
MAX_OFFER_BYTES: Final = 32 * 1024

#: Bytes that a client's channel must at least accept in one message: a welcome takes 300 to 600.
MIN_MESSAGE_BYTES: Final = 1200


class _Offer(msgspec.Struct):
    sdp: str
    type: Literal["offer"]


class OfferEndpoint:
    """The route's handler, which owns the peers.

    Attributes
    ----------
    peers : RtcPeers or None
        None before the first offer.
    """

    def __init__(self) -> None:
        self.peers: RtcPeers | None = None

    def _peers(self, request: web.Request) -> RtcPeers:
        if self.peers is None:
            from rtlab.server.endpoints.webrtc_peers import RtcPeers

            self.peers = RtcPeers(request.app[NODE])
        return self.peers

    async def offer(self, request: web.Request) -> web.Response:
        """Answer one offer: ``{"sdp", "type": "offer"}`` → ``{"sdp", "type": "answer"}``.

        The URL carries ``clientId``, ``session`` and ``seq``, as for a WebSocket.
        """
        peers = self._peers(request)
        if peers.full:
            return _full(peers)
        try:
            asked = await read_opening(request)
            body = await read_body(request, MAX_OFFER_BYTES)
        except (BadOpening, BadBody) as error:
            return error.answer
        if peers.full:  # other clients may have come while this body was read
            return _full(peers)
        try:
            offer = parse_json(body, _Offer).sdp
            _check_description(offer)
            answer = await peers.answer(offer, asked)
        except (MessageError, ValueError) as error:
            return json_error(400, "bad_offer", f'expected {{"sdp": …, "type": "offer"}}: {error}')
        return json_response({"sdp": answer, "type": "answer"}, headers={PROTOCOL_FIELD: PROTOCOL})

    async def stop(self, app: web.Application) -> None:
        """Drop every peer."""
        if self.peers is not None:
            await self.peers.stop()


#: Key under which the application keeps its handler.
PEERS: Final = web.AppKey("peers", OfferEndpoint)


def add_routes(app: web.Application) -> None:
    """Add the route to an application, and let the application drop the peers when it ends.

    Parameters
    ----------
    app : aiohttp.web.Application
        Its node must be set.
    """
    signalling = app[PEERS] = OfferEndpoint()
    app.router.add_post(ROUTES["webrtc"], signalling.offer)
    app.on_cleanup.append(signalling.stop)


def _full(peers: RtcPeers) -> web.Response:
    text = f"the server has its {peers.max_peers} WebRTC peers: try again later"
    return json_error(503, "full", text, {"Retry-After": "5"})


def _check_description(sdp: str) -> None:
    """Raise ValueError unless an offer has a data section alone, with messages big enough for the welcome."""
    kinds = re.findall(r"(?m)^m=(\S+)", sdp)
    if kinds != ["application"]:
        found = ", ".join(kinds) or "none"
        raise ValueError(f"expected one section, m=application, got {found:.80}: the server takes no media")
    for value in re.findall(r"(?m)^a=max-message-size:([^\r\n]*)", sdp):
        if not re.fullmatch(r"[0-9]{1,20}\s*", value):
            raise ValueError(f"expected a=max-message-size in digits (RFC 8841 §6.1), got {value!r:.40}")
    limit = max_message_bytes(sdp)
    if limit is not None and limit < MIN_MESSAGE_BYTES:
        raise ValueError(
            f"expected a=max-message-size of at least {MIN_MESSAGE_BYTES:,} bytes, got {limit:,}"
        )
