"""Handshakes as test cases: requests to a server, answers to a client (RFC 6455 §4, RFC 7692 §5, §7.1)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final, NamedTuple

from rtlab.protocol.http1_message_parser import Head

__all__ = ["ANSWER_CASES", "REQUEST_CASES", "AnswerCase", "RequestCase"]

_KEY: Final = "dGhlIHNhbXBsZSBub25jZQ=="
_ACCEPT: Final = b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
_DEFLATE: Final = "permessage-deflate"

Value = str | Sequence[str] | None


class RequestCase(NamedTuple):
    """A request, and a predicate that the head of the server's answer must satisfy (None: no answer)."""

    name: str
    section: str
    fields: Mapping[str, Value]
    holds: Callable[[Head | None], bool]
    method: str = "GET"
    version: str = "HTTP/1.1"


class AnswerCase(NamedTuple):
    """A server's answer, and whether a client may accept it; ``{accept}`` stands for the correct value."""

    name: str
    section: str
    fields: Mapping[str, Value]
    connects: bool
    start: str = "HTTP/1.1 101 Switching Protocols"
    deflate: bool = False


def _opens(head: Head | None) -> bool:
    return head is not None and head.status == 101


def _refused(head: Head | None) -> bool:
    return head is None or 400 <= head.status < 500


def _names_13(head: Head | None) -> bool:
    return head is not None and _refused(head) and b"13" in head.tokens(b"sec-websocket-version")


def _accepts(head: Head | None) -> bool:
    return head is not None and _opens(head) and head.get(b"sec-websocket-accept") == _ACCEPT


def _without(name: bytes) -> Callable[[Head | None], bool]:
    return lambda head: head is not None and _opens(head) and not head.get(name)


def _answers(name: bytes, *values: bytes) -> Callable[[Head | None], bool]:
    return lambda head: head is not None and _opens(head) and head.get(name).replace(b" ", b"") in values


def _upgrades(head: Head | None) -> bool:
    return (
        head is not None
        and _opens(head)
        and head.tokens(b"upgrade") == [b"websocket"]
        and head.tokens(b"connection") == [b"upgrade"]
    )


_EXTENSIONS: Final = "Sec-WebSocket-Extensions"
_declined: Final = _without(b"sec-websocket-extensions")


def _refused_or_declined(head: Head | None) -> bool:
    return _refused(head) or _declined(head)


_plain_deflate: Final = _answers(b"sec-websocket-extensions", _DEFLATE.encode())


def _offer(name: str, section: str, offer: Value, holds: Callable[[Head | None], bool]) -> RequestCase:
    return RequestCase(name, section, {_EXTENSIONS: offer}, holds)


REQUEST_CASES: Final[tuple[RequestCase, ...]] = (
    RequestCase("the answer is 101 with Upgrade and Connection", "6455 §4.2.2", {}, _upgrades),
    RequestCase("the key is answered", "6455 §4.2.2", {"Sec-WebSocket-Key": _KEY}, _accepts),
    RequestCase("Upgrade in any case", "6455 §4.2.1", {"Upgrade": "WebSocket"}, _opens),
    RequestCase(
        "Connection is a list in any case", "6455 §4.2.1", {"Connection": "keep-alive, UPGRADE"}, _opens
    ),
    RequestCase("no Upgrade is refused", "6455 §4.2.1", {"Upgrade": None}, _refused),
    RequestCase("another Upgrade is refused", "6455 §4.2.1", {"Upgrade": "h2c"}, _refused),
    RequestCase("no Connection is refused", "6455 §4.2.1", {"Connection": None}, _refused),
    RequestCase("Connection: close is refused", "6455 §4.2.1", {"Connection": "close"}, _refused),
    RequestCase("no key is refused", "6455 §4.2.1", {"Sec-WebSocket-Key": None}, _refused),
    RequestCase("an empty key is refused", "6455 §4.2.1", {"Sec-WebSocket-Key": ""}, _refused),
    RequestCase("a key of 15 bytes is refused", "6455 §4.2.1", {"Sec-WebSocket-Key": "A" * 20}, _refused),
    RequestCase("a key of 18 bytes is refused", "6455 §4.2.1", {"Sec-WebSocket-Key": "A" * 24}, _refused),
    RequestCase(
        "a key that is no base64 is refused", "6455 §4.2.1", {"Sec-WebSocket-Key": "*" * 22 + "=="}, _refused
    ),
    RequestCase(
        "a key with junk in it is refused", "6455 §4.2.1", {"Sec-WebSocket-Key": "*" + _KEY}, _refused
    ),
    RequestCase("two keys are refused", "6455 §11.3.1", {"Sec-WebSocket-Key": (_KEY, _KEY)}, _refused),
    RequestCase("no version is refused", "6455 §4.2.1", {"Sec-WebSocket-Version": None}, _refused),
    *(
        RequestCase(
            f"version {text} is refused, naming 13", "6455 §4.4", {"Sec-WebSocket-Version": text}, _names_13
        )
        for text in ("7", "8", "12", "14", "0", "13.0", "013", "x", "13, 8")
    ),
    RequestCase(
        "two versions are refused", "6455 §11.3.5", {"Sec-WebSocket-Version": ("13", "13")}, _refused
    ),
    RequestCase("POST is refused", "6455 §4.2.1", {"Content-Length": "0"}, _refused, method="POST"),
    RequestCase("HTTP/1.0 is refused", "6455 §4.2.1", {}, _refused, version="HTTP/1.0"),
    RequestCase("no Host is refused", "6455 §4.2.1", {"Host": None}, _refused),
    RequestCase("two Hosts are refused", "9112 §3.2", {"Host": ("127.0.0.1", "127.0.0.1")}, _refused),
    RequestCase(
        "a subprotocol that is unknown is left out",
        "6455 §4.2.2",
        {"Sec-WebSocket-Protocol": "nobody.v1"},
        _without(b"sec-websocket-protocol"),
    ),
    RequestCase(
        "no subprotocol asked, none answered", "6455 §4.2.2", {}, _without(b"sec-websocket-protocol")
    ),
    RequestCase(
        "one of several subprotocols is chosen",
        "6455 §4.2.2",
        {"Sec-WebSocket-Protocol": "nobody.v1, rtlab.v1.json"},
        _answers(b"sec-websocket-protocol", b"rtlab.v1.json"),
    ),
    RequestCase(
        "they may come in two fields",
        "6455 §11.3.4",
        {"Sec-WebSocket-Protocol": ("nobody.v1", "rtlab.v1.json")},
        _answers(b"sec-websocket-protocol", b"rtlab.v1.json"),
    ),
    RequestCase("an unknown extension is ignored", "6455 §9.1", {_EXTENSIONS: "x-nobody; a=1"}, _declined),
    RequestCase("no extension asked, none answered", "6455 §9.1", {}, _declined),
    RequestCase(
        "an extension field that cannot be read is refused, or ignored",
        "6455 §9.1",
        {_EXTENSIONS: ";;="},
        _refused_or_declined,
    ),
    # permessage-deflate, for a server that accepts it and adds no parameters of its own
    _offer("an offer is accepted", "7692 §5.1", _DEFLATE, _plain_deflate),
    _offer("an unknown parameter is declined", "7692 §7.1", f"{_DEFLATE}; level=9", _declined),
    _offer(
        "a parameter given twice is declined",
        "7692 §7.1",
        f"{_DEFLATE}; server_no_context_takeover; server_no_context_takeover",
        _declined,
    ),
    *(
        _offer(f"{text} is declined", section, f"{_DEFLATE}; {text}", _declined)
        for section, text in (
            ("7692 §7.1.1.1", "server_no_context_takeover=1"),
            ("7692 §7.1.1.2", "client_no_context_takeover=true"),
            ("7692 §7.1.2.1", "server_max_window_bits"),
            ("7692 §7.1.2.1", "server_max_window_bits=7"),
            ("7692 §7.1.2.1", "server_max_window_bits=16"),
            ("7692 §7.1.2.1", "server_max_window_bits=010"),
            ("7692 §7.1.2.1", "server_max_window_bits=x"),
            ("7692 §7.1.2.2", "client_max_window_bits=7"),
            ("7692 §7.1.2.2", "client_max_window_bits=16"),
        )
    ),
    _offer(
        "a limit of the server's window is kept",
        "7692 §7.1.2.1",
        f"{_DEFLATE}; server_max_window_bits=9",
        _answers(b"sec-websocket-extensions", b"permessage-deflate;server_max_window_bits=9"),
    ),
    _offer(
        "no context takeover of the server is kept",
        "7692 §7.1.1.1",
        f"{_DEFLATE}; server_no_context_takeover",
        _answers(b"sec-websocket-extensions", b"permessage-deflate;server_no_context_takeover"),
    ),
    _offer(
        "client_max_window_bits without a value",
        "7692 §7.1.2.2",
        f"{_DEFLATE}; client_max_window_bits",
        _plain_deflate,
    ),
    _offer(
        "the second of two offers",
        "7692 §5.1",
        f"{_DEFLATE}; server_max_window_bits=16, {_DEFLATE}",
        _plain_deflate,
    ),
    _offer("offers in two fields", "6455 §9.1", (f"{_DEFLATE}; x=1", _DEFLATE), _plain_deflate),
)

_GOOD: Final[Mapping[str, Value]] = {
    "Upgrade": "websocket",
    "Connection": "Upgrade",
    "Sec-WebSocket-Accept": "{accept}",
}


def _answer(
    name: str, section: str, changed: Mapping[str, Value], connects: bool = False, **others: bool
) -> AnswerCase:
    return AnswerCase(name, section, {**_GOOD, **changed}, connects, deflate=others.get("deflate", False))


def _agreed(name: str, section: str, value: Value, connects: bool = False) -> AnswerCase:
    return _answer(name, section, {_EXTENSIONS: value}, connects, deflate=True)


ANSWER_CASES: Final[tuple[AnswerCase, ...]] = (
    _answer("a right answer connects", "6455 §4.1", {}, True),
    _answer(
        "Upgrade and Connection in any case",
        "6455 §4.1",
        {"Upgrade": "WebSocket", "Connection": "upgrade"},
        True,
    ),
    AnswerCase(
        "200 is no WebSocket", "6455 §4.1", {**_GOOD, "Content-Length": "0"}, False, "HTTP/1.1 200 OK"
    ),
    AnswerCase("HTTP/1.0 cannot switch", "6455 §4.1", _GOOD, False, "HTTP/1.0 101 Switching Protocols"),
    _answer("no Upgrade fails", "6455 §4.1", {"Upgrade": None}),
    _answer("another Upgrade fails", "6455 §4.1", {"Upgrade": "h2c"}),
    _answer("no Connection fails", "6455 §4.1", {"Connection": None}),
    _answer("another Connection fails", "6455 §4.1", {"Connection": "keep-alive"}),
    _answer("no Accept fails", "6455 §4.1", {"Sec-WebSocket-Accept": None}),
    _answer("an empty Accept fails", "6455 §4.1", {"Sec-WebSocket-Accept": ""}),
    _answer("another key's Accept fails", "6455 §4.1", {"Sec-WebSocket-Accept": _ACCEPT.decode()}),
    _answer("two Accepts fail", "6455 §11.3.3", {"Sec-WebSocket-Accept": ("{accept}", "{accept}")}),
    _answer(
        "a subprotocol that was not asked for fails", "6455 §4.1", {"Sec-WebSocket-Protocol": "nobody.v1"}
    ),
    _answer(
        "two subprotocols fail",
        "6455 §11.3.4",
        {"Sec-WebSocket-Protocol": ("rtlab.v1.json", "rtlab.v1.json")},
    ),
    _answer("an extension that was not offered fails", "6455 §9.1", {_EXTENSIONS: _DEFLATE}),
    _answer("an unknown extension fails", "6455 §9.1", {_EXTENSIONS: "x-nobody"}),
    _agreed("what was offered connects", "7692 §5.1", _DEFLATE, True),
    _agreed("a server may decline", "7692 §5.1", None, True),
    _agreed("a server may limit itself", "7692 §7.1.2.1", f"{_DEFLATE}; server_max_window_bits=9", True),
    _agreed("an unknown parameter fails", "7692 §7.1", f"{_DEFLATE}; level=9"),
    _agreed(
        "a parameter given twice fails",
        "7692 §7.1",
        f"{_DEFLATE}; server_no_context_takeover; server_no_context_takeover",
    ),
    _agreed("deflate agreed on twice fails", "6455 §9.1", f"{_DEFLATE}, {_DEFLATE}"),
    *(
        _agreed(f"{text} fails", section, f"{_DEFLATE}; {text}")
        for section, text in (
            ("7692 §7.1.1.1", "server_no_context_takeover=1"),
            ("7692 §7.1.1.2", "client_no_context_takeover=true"),
            ("7692 §7.1.2.1", "server_max_window_bits"),
            ("7692 §7.1.2.1", "server_max_window_bits=7"),
            ("7692 §7.1.2.1", "server_max_window_bits=16"),
            ("7692 §7.1.2.2", "client_max_window_bits"),
            ("7692 §7.1.2.2", "client_max_window_bits=16"),
        )
    ),
)
