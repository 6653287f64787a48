"""Cookies stay with their origin."""

from __future__ import annotations

import pytest

from rtlab.client.transports import affinity_cookies
from rtlab.client.transports.affinity_cookies import CookieStore
from rtlab.protocol.urls import parse_url

HOME = parse_url("http://127.0.0.1:8000/sse")


@pytest.mark.parametrize(
    ("url", "sent"),
    [
        ("http://127.0.0.1:8000/send", "node=a"),
        ("ws://127.0.0.1:8000/ws", "node=a"),
        ("http://127.0.0.1:8001/send", ""),
        ("https://127.0.0.1:8000/send", ""),
        ("http://localhost:8000/send", ""),
    ],
)
def test_only_the_origin_that_set_it_gets_a_cookie(url: str, sent: str) -> None:
    store = CookieStore()
    store.take(HOME, ["node=a; Path=/"])
    assert store.header(parse_url(url)) == sent


def test_the_callers_cookies_go_along_unless_the_server_set_them_anew() -> None:
    store = CookieStore()
    assert store.header(HOME, "mine=1; node=old") == "mine=1; node=old"
    store.take(HOME, ["node=new; Path=/", "b=2; Path=/"])
    assert store.header(HOME, "mine=1; node=old") == "mine=1; node=new; b=2"
    store.take(HOME, ["node=; Max-Age=0; Path=/", "b=; Max-Age=0; Path=/"])
    assert store.header(HOME) == ""


@pytest.mark.parametrize(
    "field", ["", ";", "=", "a=\x00", "é=ü", "a=b; Domain=.example.org", "a=b; Expires=x"]
)
def test_a_strange_field_is_no_error(field: str) -> None:
    store = CookieStore()
    store.take(HOME, [field])
    header = store.header(HOME)
    assert header.isascii()
    assert header.isprintable()


def test_so_many_origins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(affinity_cookies, "MAX_ORIGINS", 2)
    store, urls = CookieStore(), [parse_url(f"http://h:{port}/") for port in (1, 2, 3)]
    for url in urls:
        store.take(url, ["a=b; Path=/"])
    assert [store.header(url) for url in urls] == ["", "a=b", "a=b"]
