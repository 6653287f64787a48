from __future__ import annotations

import logging

import pytest
from websockets.frames import CLOSE, CONT, TEXT, Close, Frame

from rtlab.client.transports._wire_log import WIRE_LOG


def test_the_log_of_the_wire_holds_no_secret(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG, logger=WIRE_LOG.name):
        WIRE_LOG.debug("> GET %s HTTP/1.1", "/ws?ticket=s3cret&seq=1")
        for name in ("Authorization", "Cookie", "Set-Cookie", "X-Api-Key", "Proxy-Authorization"):
            WIRE_LOG.debug("> %s: %s", name, "Bearer s3cret; id=s3cret")
        WIRE_LOG.debug("< %s: %s", "Location", "http://me:s3cret@h/x")
        WIRE_LOG.debug("< %s: %s", "retry-after", "7")
        WIRE_LOG.debug("> %s", Frame(TEXT, b'{"type":"auth","payload":{"token":"s3cret"}}'))
        WIRE_LOG.debug("> %s", Frame(CONT, b"s3cret", fin=False))
        WIRE_LOG.debug("< %s", Frame(CLOSE, Close(1012, "bye").serialize()))
        WIRE_LOG.debug("= connection is %s", "OPEN")
    assert caplog.messages == [
        "> GET /ws?ticket=***&seq=1 HTTP/1.1",
        "> Authorization: ***",
        "> Cookie: ***",
        "> Set-Cookie: ***",
        "> X-Api-Key: ***",
        "> Proxy-Authorization: ***",
        "< Location: http://***@h/x",
        "< retry-after: 7",
        "> TEXT [44 bytes]",
        "> CONT [6 bytes, continued]",
        "< CLOSE 1012 (service restart) bye [5 bytes]",
        "= connection is OPEN",
    ]
