"""The error that the fault proxy and its client raise, and functions that make its common cases."""

from __future__ import annotations

from rtlab.errors import RtlabError

__all__ = [
    "FaultError",
    "bad_request",
    "invalid_stream",
    "invalid_toxic_type",
    "missing_field",
    "proxy_exists",
    "proxy_not_found",
    "toxic_exists",
    "toxic_not_found",
]


class FaultError(RtlabError):
    """The fault proxy refused a request.

    Parameters
    ----------
    message : str
        Toxiproxy's own message, if it has one for the case.
    status : int
        The HTTP status of the response.
    """

    def __init__(self, message: str, status: int = 400) -> None:
        super().__init__(message)
        self.message = message
        self.status = status


def bad_request(why: str) -> FaultError:
    """The request body is not what the route accepts: 400."""
    return FaultError(f"bad request body: {why}", 400)


def missing_field(name: str) -> FaultError:
    """A required field is missing: 400."""
    return FaultError(f"missing required field: {name}", 400)


def invalid_stream() -> FaultError:
    """A toxic's stream is neither upstream nor downstream: 400."""
    return FaultError("stream was invalid, can be either upstream or downstream", 400)


def invalid_toxic_type() -> FaultError:
    """There is no toxic of this type: 400."""
    return FaultError("invalid toxic type", 400)


def proxy_not_found() -> FaultError:
    """There is no proxy of this name: 404."""
    return FaultError("proxy not found", 404)


def proxy_exists() -> FaultError:
    """The name is taken by another proxy: 409."""
    return FaultError("proxy already exists", 409)


def toxic_not_found() -> FaultError:
    """There is no toxic of this name: 404."""
    return FaultError("toxic not found", 404)


def toxic_exists() -> FaultError:
    """The name is taken by another toxic: 409."""
    return FaultError("toxic already exists", 409)
