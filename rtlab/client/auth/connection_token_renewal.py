"""Renews the access token of an open connection before the token expires, without disconnecting."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from rtlab.client.auth.login_and_token_refresh import Tokens
from rtlab.client.transports.transport_interface import Transport
from rtlab.errors import ConnectFailed, NotConnected, RequestRefused, TransportClosed
from rtlab.protocol.message_format import Message

__all__ = ["ConnectionTokenRenewal", "SendRequest"]

#: Sends a request of a given type and payload, and returns the server's answer.
SendRequest = Callable[[str, dict[str, str]], Awaitable[Message]]

#: Seconds until another try after a token request that failed for a temporary reason, without a Retry-After.
RETRY: Final = 1.0

#: The least seconds between two renewals, however short the server says that a token lives.
LEAST_PAUSE: Final = 0.05

#: Error codes for an access token that a new one may replace; servers other than rtlab's send no code ("").
_STALE: Final = frozenset({"token_expired", "bad_token", ""})


class ConnectionTokenRenewal:
    """Refreshes tokens, and sends the new access token in an ``auth`` message.

    Parameters
    ----------
    tokens : Tokens
        The tokens to renew.
    ask : callable
        Sends a request on the open connection; see `SendRequest`.
    """

    def __init__(self, tokens: Tokens, ask: SendRequest) -> None:
        self._tokens = tokens
        self._ask = ask

    def may_renew(self, error: ConnectFailed) -> bool:
        """Whether a failed attempt should be repeated once with a new access token."""
        return error.status == 401 and error.code in _STALE and self._tokens.refused()

    async def keep(self, transport: Transport) -> None:
        """Renew the access token whenever it is due, as long as the connection is open.

        Parameters
        ----------
        transport : Transport
            The open transport. If redirects have led it to another origin, the server there never gets the
            token: it knows the client by the URL of the redirect, and ends the connection when that expires.

        Raises
        ------
        TransportClosed
            The connection must end: with 4001 if the server refuses the new token on the open connection,
            so that it is opened again with that token; with 4501, for good, if there is no new token.
        """
        tokens = self._tokens
        while (pause := tokens.renew_in) is not None:
            await asyncio.sleep(max(LEAST_PAUSE, pause))
            try:
                await self._announce(await tokens.fresh(), transport)
            except ConnectFailed as error:
                if not error.retryable:
                    raise TransportClosed(4501, str(error), reconnect=False) from error
                await asyncio.sleep(error.retry_after or RETRY)
            except (RequestRefused, TimeoutError) as error:
                raise TransportClosed(4001, f"the new token is not taken here: {error}") from error

    async def _announce(self, token: str, transport: Transport) -> None:
        """Send a new token until the server has answered, if its origin is that of the tokens."""
        while self._tokens.belong_to(transport.server_origin):  # looked up now: it may have moved meanwhile
            try:
                await self._ask("auth", {"token": token})
                return
            except NotConnected:
                # It was lost in a move to another transport. If the connection has ended, this is cancelled:
                # the next one opens with the new token.
                await asyncio.sleep(RETRY)
