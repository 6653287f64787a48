from __future__ import annotations

import pytest

from rtlab.errors import ConnectFailed
from rtlab.protocol.transport_names import TRANSPORTS
from rtlab.protocol.transport_paths import ENDPOINTS, endpoint_url


def test_every_transport_has_an_endpoint() -> None:
    assert tuple(ENDPOINTS) == TRANSPORTS


@pytest.mark.parametrize("query", ["", "?", "?room=lobby&sig=a/b=="])
@pytest.mark.parametrize("scheme", ["http", "ws"])
@pytest.mark.parametrize("end", ["", "/", "/ws", "/sse", "/poll", "/rtc/offer"])
@pytest.mark.parametrize("base", ["", "/base", "/a%2Fb/news"])
def test_endpoints_are_below_the_base_and_beside_each_other(
    base: str, end: str, scheme: str, query: str
) -> None:
    urls = [str(endpoint_url(f"{scheme}s://me:pw@h:1{base}{end}{query}", name)) for name in TRANSPORTS]
    assert urls == [
        f"wss://h:1{base}/ws{query}",
        f"https://h:1{base}/sse{query}",
        f"https://h:1{base}/poll{query}",
        f"https://h:1{base}/rtc/offer{query}",
    ]


def test_the_password_is_passed_on_unchanged_and_not_shown() -> None:
    url = endpoint_url("http://me:p%40w@h?x=a://b", "sse")
    assert url.with_userinfo == "http://me:p%40w@h/sse?x=a://b"
    assert "p%40w" not in f"{url} {url!r}"
    assert endpoint_url("http://h", "sse").with_userinfo == "http://h/sse"


def test_a_url_that_is_none() -> None:
    with pytest.raises(ConnectFailed, match="expected a URL"):
        endpoint_url("me:s3cret@h", "sse")
