"""`WebRTCChannel`: a data channel to the server that reconnects."""

from __future__ import annotations

import ssl as ssl_module
from collections.abc import Mapping
from typing import Any

from rtlab.client.auth.login_and_token_refresh import Tokens
from rtlab.client.connection import Connection
from rtlab.client.connection_options import checked_option
from rtlab.client.transports.affinity_cookies import CookieStore
from rtlab.client.transports.webrtc_transport import WebRTCTransport
from rtlab.protocol.json_and_messagepack_codecs import JSON, Codec
from rtlab.webrtc.data_channel_framing_and_pings import check_reliability
from rtlab.webrtc.relay_candidate_rewrite import Relay

__all__ = ["WebRTCChannel"]


class WebRTCChannel(Connection):
    """A WebRTC data channel to the server that reconnects.

    Parameters
    ----------
    url : str
        The server, ``http://host:port``; without a path, ``/rtc/offer`` is used.
    ordered, max_retransmits, max_packet_life_time, codec, headers, auth, ssl, relay
        As for `WebRTCTransport`.
    **options
        As for `Connection`: ``backoff``, ``max_reconnect_attempts``,
        ``reconnect_interval``, ``min_uptime``, ``connect_timeout`` and so on.

    Notes
    -----
    Only an ordered and reliable channel resumes sessions. Other channels do not
    guarantee delivery, by design; the offsets of rooms still reveal gaps.

    Examples
    --------
    >>> async def echo(url: str) -> None:
    ...     async with WebRTCChannel(url, ordered=False, max_retransmits=0) as conn:
    ...         print((await conn.request("echo", {"n": 1})).payload)
    """

    def __init__(
        self,
        url: str,
        *,
        # Delivery
        ordered: bool = True,
        max_retransmits: int | None = None,
        max_packet_life_time: float | None = None,
        # Wire
        codec: Codec = JSON,
        headers: Mapping[str, str] | None = None,
        auth: Tokens | None = None,
        ssl: ssl_module.SSLContext | None = None,
        relay: Relay | None = None,
        **options: Any,
    ) -> None:
        check_reliability(max_retransmits, max_packet_life_time)

        headers, cookies = dict(headers or {}), CookieStore()
        self._transports: list[WebRTCTransport] = []

        def transport() -> WebRTCTransport:
            made = WebRTCTransport(
                url,
                ordered=ordered,
                max_retransmits=max_retransmits,
                max_packet_life_time=max_packet_life_time,
                codec=codec,
                headers=headers,
                auth=auth,
                ssl=ssl,
                cookies=cookies,
                relay=relay,
            )
            self._transports = [one for one in self._transports if not one.gone]
            self._transports.append(made)
            return made

        checked_option("codec", codec, "rtlab.protocol.json_and_messagepack_codecs.JSON", "encode", "decode")
        super().__init__(transport, auth=auth, **options)

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """Close for good; return when no task and no socket is left.

        Parameters
        ----------
        code : int
            The close code to send.
        reason : str
            Up to 123 bytes of UTF-8.
        """
        former = tuple(self._transports)  # without those of a connect() that is called meanwhile
        await super().close(code, reason)
        # Closing a peer connection takes a few turns of the event loop, even after an abort.
        self._transports = [one for one in self._transports if one not in former]
        for transport in former:
            await transport.closed()
