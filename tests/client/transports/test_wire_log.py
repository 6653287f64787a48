from __future__ import annotations

import logging

import pytest

from rtlab.client.transports._wire_log import WIRE_LOG


def test_the_log_of_the_wire_holds_no_secret(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG, logger=WIRE_LOG.name):
        WIRE_LOG.debug("> GET %s HTTP/1.1", "/ws?ticket=s3cret&seq=1")
        WIRE_LOG.debug("> %s: %s", "Authorization", "Bearer s3cret")
    assert caplog.messages == ["> GET /ws?ticket=***&seq=1 HTTP/1.1", "> Authorization: Bearer ***"]
