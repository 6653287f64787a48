"""Explains the errors of a WebSocket's opening handshake, and what to do next."""

from __future__ import annotations

import ssl as ssl_module
import time

from websockets.exceptions import InvalidHandshake, InvalidStatus, NegotiationError, SecurityError

from rtlab.client.transports.explain_connect_failures import circular, explain_os_error
from rtlab.errors import ConnectFailed
from rtlab.protocol.http_status_and_retry_after import code_in, may_retry, reason_in, retry_after
from rtlab.protocol.urls import Url

__all__ = ["explain_handshake"]


def explain_handshake(error: Exception, url: Url) -> ConnectFailed:
    """Turn an exception of the opening handshake into a `ConnectFailed` that names the next step.

    Parameters
    ----------
    error : Exception
        An exception of the `websockets` library, of TLS or of the operating system.
    url : Url
        The URL of the handshake.
    """
    at = url.netloc
    match error:
        case InvalidStatus():
            return _refused(error, at)
        case NegotiationError():
            # The name of the extension is in the text as well, and may contain any word.
            about = str(error).partition(":")[0]
            what = "a subprotocol" if "subprotocol" in about else "an extension"
            return ConnectFailed(
                f"the server at {at} chose {what} that was not offered ({error})", retryable=False
            )
        case SecurityError() if "redirects" in str(error):
            return circular(url)
        case SecurityError():
            return ConnectFailed(f"the answer of {at} is not acceptable: {error}", retryable=False)
        case InvalidHandshake():
            cause = f" ({error.__cause__})" if error.__cause__ is not None else ""
            return ConnectFailed(f"{at} does not speak WebSocket: {error}{cause}")
        case ssl_module.SSLError():  # is a ValueError as well, so it must come before the next case
            pass
        case EOFError() | ValueError() | ConnectionResetError() | BrokenPipeError():
            return ConnectFailed(f"{at} does not speak WebSocket: {error}")
        case _:
            pass
    return explain_os_error(error, at) or ConnectFailed(f"no connection to {at}: {error!r}")


def _refused(error: InvalidStatus, at: str) -> ConnectFailed:
    """Explain an HTTP answer whose status is not 101."""
    status, headers = error.response.status_code, error.response.headers
    hint, date, kind = (
        "".join(headers.get_all(name)[:1]) for name in ("Retry-After", "Date", "Content-Type")
    )
    why = reason_in(error.response.body, kind) or (
        "is the path right, and does every proxy on the way pass the Upgrade header?"
    )
    return ConnectFailed(
        f"the server at {at} answered HTTP {status} instead of 101 Switching Protocols: {why}",
        retryable=may_retry(status, kind),
        status=status,
        retry_after=retry_after(hint, date, now=time.time()),
        code=code_in(bytes(error.response.body or b"")),
    )
