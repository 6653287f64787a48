"""Renews the token of an open connection before it ends, without disconnecting."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from rtlab.client.tokens import Tokens
from rtlab.errors import ConnectFailed, NotConnected, RequestRefused, TransportClosed
from rtlab.protocol.messages import Message

__all__ = ["Ask", "TokenKeeper"]

#: Sends a message that has an id, and returns its answer, within so many seconds.
Ask = Callable[[str, dict[str, str]], Awaitable[Message]]

#: Seconds until another try when the server did not answer.
RETRY: Final = 1.0

#: What a server says of an access token that another one may replace; a foreign server has no word for it.
_STALE: Final = frozenset({"token_expired", "bad_token", ""})


class TokenKeeper:
    """Refreshes tokens, and shows the new one in an ``auth`` message.

    Parameters
    ----------
    tokens : Tokens
        What to renew.
    ask : callable
        Sends a request on the open connection.
    """

    def __init__(self, tokens: Tokens, ask: Ask) -> None:
        self._tokens = tokens
        self._ask = ask

    def may_renew(self, error: ConnectFailed) -> bool:
        """Whether an attempt that failed is worth one more, which begins with another access token."""
        return error.status == 401 and error.code in _STALE and self._tokens.refused()

    async def keep(self) -> None:
        """Renew again and again; for as long as the connection is open.

        Raises
        ------
        TransportClosed
            The connection should end: with 4001 to open it anew with the new token, since the
            server does not take it here; with 4501, for good, when there is no new token.
        """
        tokens = self._tokens
        while (pause := tokens.renew_in) is not None:
            await asyncio.sleep(pause)
            try:
                await self._ask("auth", {"token": await tokens.fresh()})
            except ConnectFailed as error:
                if not error.retryable:
                    raise TransportClosed(4501, str(error), reconnect=False) from error
                await asyncio.sleep(RETRY)
            except (RequestRefused, TimeoutError) as error:
                raise TransportClosed(4001, f"the new token is not taken here: {error}") from error
            except NotConnected:
                return  # the connection has ended: the next one begins with the new token
