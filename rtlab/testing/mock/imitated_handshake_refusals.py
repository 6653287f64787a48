"""Imitates a failed handshake for a mock: makes the exceptions that `websockets.connect` raises."""

from __future__ import annotations

import errno
import os
from http import HTTPStatus
from typing import Final

from websockets.datastructures import Headers
from websockets.exceptions import InvalidStatus, NegotiationError
from websockets.http11 import Response as HttpResponse

from rtlab.testing.mock.mock_frames import Response

__all__ = ["refusal", "wrong_subprotocol"]

_NOBODY_LISTENS: Final = os.strerror(errno.ECONNREFUSED)


def refusal(response: Response) -> Exception:
    """Return the exception that a client raises for an answer that refuses the handshake.

    Parameters
    ----------
    response : Response
        Status 0 stands for a port on which nothing listens.

    Examples
    --------
    >>> str(refusal(Response(503)))
    'server rejected WebSocket connection: HTTP 503'
    """
    if response.status == 0:
        return ConnectionRefusedError(errno.ECONNREFUSED, _NOBODY_LISTENS)
    fields = {} if response.retry_after is None else {"Retry-After": f"{response.retry_after:g}"}
    phrase = HTTPStatus(response.status).phrase
    return InvalidStatus(HttpResponse(response.status, phrase, Headers(fields), b""))


def wrong_subprotocol(name: str, offered: tuple[str, ...]) -> Exception:
    """Return the exception for an answer that selects a subprotocol which was not offered.

    Examples
    --------
    >>> str(wrong_subprotocol("chat", ("soap",)))
    'unsupported subprotocol: chat'
    """
    return NegotiationError(f"unsupported subprotocol: {name}" if offered else "no subprotocols supported")
