"""What a request expects of an HTTP server, read before aiohttp reads it."""

from __future__ import annotations

from typing import Any, Final

from aiohttp import web
from multidict import CIMultiDict, CIMultiDictProxy

__all__ = ["read_expectations"]

_CONTINUE: Final = "100-continue"


def read_expectations(server: web.Server | None) -> None:
    """Ignore what requests expect that is not ``100-continue`` (RFC 9110 §10.1.1 leaves 417 to the server).

    aiohttp refuses it itself, with the field's bytes in the answer's text, before any middleware
    and on unknown paths too: bytes that are not UTF-8 become a 500 and a traceback.

    Parameters
    ----------
    server : web.Server or None
        Of a runner that was set up; connections that come from now on are read so.
    """
    assert server is not None, "set the runner up first"
    make: Any = server.request_factory

    def make_request(message: Any, *rest: Any) -> web.BaseRequest:
        if "Expect" in message.headers:
            headers = CIMultiDict(message.headers)
            expected = ",".join(headers.popall("Expect")).lower().split(",")
            if _CONTINUE in (member.strip(" \t") for member in expected):
                headers["Expect"] = _CONTINUE
            message = message._replace(headers=CIMultiDictProxy(headers))
        return make(message, *rest)

    server.request_factory = make_request
