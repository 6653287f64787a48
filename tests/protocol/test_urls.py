"""URLs: what arrives is what was meant, what is wrong is said, what is secret is not."""

from __future__ import annotations

import re
import traceback
from collections.abc import Callable

import pytest

from rtlab.client.client_factory_by_transport import make_client
from rtlab.client.connection_options import checked_option
from rtlab.errors import ConnectFailed, RtlabError
from rtlab.hooks.shared_connections import plain_connect
from rtlab.hooks.use_websocket import check_url
from rtlab.patterns.websocket_pool import WebSocketPool
from rtlab.protocol.origin_and_host_headers import as_browsers_write
from rtlab.protocol.urls import parse_url, shown
from rtlab.server.brokers.carrier_by_broker_url import carrier_for
from rtlab.testing.mock.dom_argument_checks import checked_url

UNCHANGED = [
    "http://example.org/a%2Fb",
    "http://example.org/a%2fb/c;v=1",
    "http://example.org/x?sig=a/b==&stream",
    "http://example.org/x?stream",
    "http://example.org/x?",
    "http://example.org/x?a&&b=&=c",
    "http://example.org/x?filter[]=1&q='a'|b^c`{}",
    "http://example.org/x?t=a%20b+c%2Bd",
    "http://example.org/100%",
    "http://example.org",
    "http://example.org/",
    "https://example.org:8443/x",
    "ws://127.0.0.1:8000/ws",
    "wss://[::1]:8000/ws",
    "http://127.1/",
    "http://my_host.example.org./",
]


@pytest.mark.parametrize("text", UNCHANGED)
def test_a_url_that_is_right_keeps_its_bytes(text: str) -> None:
    assert str(parse_url(text)) == text


@pytest.mark.parametrize(
    ("text", "sent"),
    [
        ("http://h/x?room=a b", "http://h/x?room=a%20b"),
        ("http://h/a b", "http://h/a%20b"),
        ("http://h/ü?q=é", "http://h/%C3%BC?q=%C3%A9"),
        ('http://h/x?q="<>', "http://h/x?q=%22%3C%3E"),
        (b"http://h/gr\xc3\xb6\xdfe".decode("ascii", "surrogateescape"), "http://h/gr%C3%B6%DFe"),
        ("http://h/x#part", "http://h/x"),
        ("HTTP://Example.ORG/X", "http://example.org/X"),
        ("http://bücher.example/", "http://xn--bcher-kva.example/"),
        ("http://h:/x", "http://h/x"),
        ("  http://h/x\n", "http://h/x"),
        ("http://h/a/../b/./c", "http://h/b/c"),
        ("http://h/../..", "http://h/"),
        ("http://h/a/..", "http://h/"),
        ("http://user:pw@h/x", "http://h/x"),
    ],
)
def test_only_what_cannot_travel_is_encoded(text: str, sent: str) -> None:
    assert str(parse_url(text)) == sent
    assert str(parse_url(sent)) == sent


BAD_HOSTS = [
    "http://",
    "http:///x",
    "http://:80",
    "http://a b/",
    "http://a..b/",
    "http://.a/",
    f"http://{'a' * 64}/",
    f"http://{'a.' * 130}a/",
    "http://a%41/",
    "http://a\\b/",
    "http://a<b/",
    "http://[::1/",
    "http://[zz]/",
    "http://256.1.1.1/",
    "http://1.2.3.4.5/",
    "http://\u2025/",
    "http://user:pw@/",
]
BAD_PORTS = [
    *(f"http://h:{port}" for port in ("65536", "0", "-1", "x", "8 0", "80:80", "9" * 400, "\u0661")),
    "http://[::1]80",
]
NO_URLS = [
    *("", "h", "h:80", "//h", "ftp://h", "file:///x", "http:/h", None, 7, b"http://h"),
    *(
        "http://h/\x00",
        "http://h/a\nb",
        "http://h\t/",
        "http://h/\ud800",
        "http://\ud800/",
        "http://h\udcff/",
    ),
]


@pytest.mark.parametrize("url", [*BAD_HOSTS, *BAD_PORTS, *NO_URLS])
def test_what_is_no_url_is_refused_in_one_way(url: object) -> None:
    with pytest.raises(ConnectFailed, match="expected a") as caught:
        parse_url(url)
    assert not caught.value.retryable


@pytest.mark.parametrize(
    "url",
    [
        "http://me:s3cret@h:99999/",
        "http://me:s3cret@a b/",
        "ftp://me:s3cret@h/",
        "http://me:s3cret@/",
        "http://me:x/s3cret@h/",
        "http://me:s3cret/x@h/",
        "http://me:s3cret?x@h/",
        "me:s3cret@h",  # no scheme
        "ws:me:s3cret@h",
        " me:s3cret@h//x",
    ],
)
def test_a_refusal_shows_no_password(url: str) -> None:
    with pytest.raises(ConnectFailed) as caught:
        parse_url(url)
    assert "s3cret" not in str(caught.value)
    assert "***@" in str(caught.value)


@pytest.mark.parametrize(
    ("url", "text"),
    [
        (b"ws://me:s3cret@h/", "***@h/'"),
        (["ws://me:s3cret@h/?token=s3cret"], "***@h/?token=***']"),
        (None, "None"),
    ],
)
def test_what_is_no_text_is_shown_without_secrets(url: object, text: str) -> None:
    assert shown(url) == text


def test_repr_and_str_leave_secrets_out() -> None:
    url = parse_url("wss://me:s3cret@h/ws?token=abc&room=lobby")
    assert "s3cret" not in f"{url} {url!r} {url.address}"
    assert repr(url) == "<Url wss://h/ws?token=***&room=lobby>"


def test_credentials_in_a_url_become_a_header() -> None:
    assert parse_url("http://me:p%40w@h").authorization == "Basic bWU6cEB3"
    assert parse_url("http://me@h").authorization == "Basic bWU6"
    assert parse_url("http://h").authorization is None


def test_origins() -> None:
    same = ["http://h", "http://h:80/x", "ws://H/y?z", "http://me:pw@h"]
    assert len({parse_url(text).origin for text in same}) == 1
    others = ["https://h", "http://h:81", "http://h.example", "http://h."]
    assert all(parse_url(text).origin != parse_url("http://h").origin for text in others)


def test_families() -> None:
    assert str(parse_url("wss://h/x?y").over("http")) == "https://h/x?y"
    assert str(parse_url("http://h:1").over("ws")) == "ws://h:1"
    assert str(parse_url("ws://h").over("ws")) == "ws://h"


def test_paths_of_a_server() -> None:
    assert str(parse_url("http://h?token=a").at("/sse")) == "http://h/sse?token=a"
    assert str(parse_url("http://h/").at("/sse")) == "http://h/sse"
    assert str(parse_url("http://h/a%2Fb").at("/sse")) == "http://h/a%2Fb"
    assert str(parse_url("http://h/base/sse?t=/").beside("send")) == "http://h/base/send?t=/"
    assert str(parse_url("http://h").beside("send")) == "http://h/send"
    assert str(parse_url("http://h/base/?q").below("ws")) == "http://h/base/ws?q"


def test_fields_are_added_behind_what_stands_there() -> None:
    url = parse_url("http://h/x?sig=a/b==&stream")
    assert str(url.adding(clientId="a b", seq=0)) == "http://h/x?sig=a/b==&stream&clientId=a%20b&seq=0"
    assert url.adding(session=None) == url
    resumed = url.adding(clientId="c", session="s", seq="7")
    assert str(resumed) == "http://h/x?sig=a/b==&stream&clientId=c&session=s&seq=7"
    assert str(resumed.adding(session="t")) == "http://h/x?sig=a/b==&stream&clientId=c&seq=7&session=t"
    assert resumed.unresumed() == url
    assert str(parse_url("http://h/x").adding(clientId="c").unresumed()) == "http://h/x"


@pytest.mark.parametrize(
    ("location", "target"),
    [
        ("/y?z", "http://h/y?z"),
        ("y", "http://h/a/y"),
        ("?z", "http://h/a/x?z"),
        ("?", "http://h/a/x?"),
        ("/y?", "http://h/y?"),
        ("/y??#z", "http://h/y??"),
        ("#z", "http://h/a/x?q"),
        ("", "http://h/a/x?q"),
        ("//other/y", "http://other/y"),
        ("https://other/y%2F", "https://other/y%2F"),
    ],
)
def test_redirects(location: str, target: str) -> None:
    assert str(parse_url("http://h/a/x?q").redirected(location.encode())) == target


def test_bytes_of_a_redirect_that_are_no_text_are_kept() -> None:
    assert str(parse_url("http://h").redirected(b"/\xff?\xfe")) == "http://h/%FF?%FE"
    with pytest.raises(ConnectFailed, match="host name") as caught:
        parse_url("http://h").redirected(b"http://\xff\xfe/")
    assert not caught.value.retryable


def test_a_redirect_of_a_websocket_stays_one() -> None:
    assert str(parse_url("ws://h/x").redirected(b"https://other/y")) == "wss://other/y"
    with pytest.raises(ConnectFailed, match=re.escape("ftp://h")):
        parse_url("ws://h/x").redirected(b"ftp://h")


def test_a_redirect_away_from_tls_is_refused() -> None:
    assert str(parse_url("http://h/x").redirected(b"https://h/x")) == "https://h/x"
    with pytest.raises(ConnectFailed, match="from TLS to none") as caught:
        parse_url("https://h/x").redirected(b"http://h/x")
    assert not caught.value.retryable


@pytest.mark.parametrize(
    "refuse",
    [
        lambda url: check_url(url.replace("ws:", "htp:")),
        lambda url: check_url(url.encode()),
        WebSocketPool,
        lambda url: checked_url(url + "#x"),
        lambda url: checked_url(url.replace("ws:", "ftp:")),
        lambda url: checked_url(url.replace("@h", "@h:x")),
        lambda url: checked_url("ws://me:s3cret/x@h"),
        lambda url: carrier_for(url.replace("@h", "@h:x")),
        lambda url: carrier_for("nats://me:s3cret/x@h"),
        as_browsers_write,
        lambda url: make_client("sse", url.replace("ws:", "htp:")),
        lambda url: plain_connect("sse")(url),
        lambda url: checked_option("auth", "s3cret", "Tokens(user, password)", "renew"),
    ],
)
def test_no_refusal_shows_a_secret(refuse: Callable[[str], object]) -> None:
    """Wherever a URL, or what should be one, is checked."""
    with pytest.raises((ValueError, TypeError, RtlabError)) as caught:
        refuse("ws://me:s3cret@h/ws?token=s3cret")
    assert "s3cret" not in "".join(traceback.format_exception_only(caught.value))
