"""Explains why an attempt failed, in the same words for the same cause, whichever library raised it."""

from __future__ import annotations

import socket
import ssl as ssl_module

from rtlab.errors import ConnectFailed
from rtlab.protocol.urls import Url

__all__ = ["circular", "explain_os_error"]


def explain_os_error(error: BaseException, at: str) -> ConnectFailed | None:
    """Explain an error whose cause is the operating system or TLS; None if neither is the cause.

    Parameters
    ----------
    error : BaseException
        The exception that a library raised; its cause may be deeper in the chain of contexts.
    at : str
        Host and port, for the error message.
    """
    cause: BaseException | None = error
    while cause is not None:
        match cause:
            case ssl_module.SSLEOFError() | ssl_module.SSLZeroReturnError():
                return ConnectFailed(f"{at} hung up during the TLS handshake: is it starting, or not TLS?")
            case ssl_module.SSLError():
                return ConnectFailed(
                    f"TLS with {at} failed ({cause}): check the certificate", retryable=False
                )
            case ConnectionRefusedError():
                return ConnectFailed(f"nothing listens at {at}: is the server running?")
            case socket.gaierror():
                return ConnectFailed(f"no address is known for {at} ({cause.strerror}): is the name right?")
            case ConnectionResetError() | BrokenPipeError() | ConnectionAbortedError():
                return ConnectFailed(f"no answer from {at}: the connection was reset")
            case TimeoutError():
                pass  # more often the caller's own deadline than the operating system's
            case OSError():
                return ConnectFailed(f"no connection to {at}: {cause.strerror or cause}")
            case _:
                pass
        cause = cause.__context__  # httpcore clears __cause__
    return None


def circular(url: Url) -> ConnectFailed:
    """Return the error for a URL with too many redirects."""
    return ConnectFailed(f"{url.netloc} redirects in circles: give the final URL", retryable=False)
