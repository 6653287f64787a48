"""Normalises the ``Expect`` field of requests before aiohttp acts on it (RFC 9110 §10.1.1)."""

from __future__ import annotations

from typing import Any, Final

from aiohttp import web
from multidict import CIMultiDict, CIMultiDictProxy

__all__ = ["remove_expect_header"]

_CONTINUE: Final = "100-continue"


def remove_expect_header(server: web.Server | None) -> None:
    """Ignore expectations other than ``100-continue``: RFC 9110 §10.1.1 leaves the 417 to the server.

    aiohttp itself refuses them, before any middleware and on unknown paths too, with the field's
    bytes in the text of the response: bytes that are not UTF-8 cause a 500 and a traceback.

    Parameters
    ----------
    server : web.Server or None
        The server of a runner that was set up; later connections are affected.
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
