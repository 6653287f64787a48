"""Checks before authentication: what the server answers to a client that has not shown who it is."""

from __future__ import annotations

import re
import ssl as ssl_module
import warnings
from typing import Final

import jwt
import msgspec

from rtlab.errors import ConnectFailed
from rtlab.experiments.audit.check_and_finding_types import Check, Finding
from rtlab.experiments.audit.requests_to_audited_server import Target, TargetResponse
from rtlab.experiments.endpoint.craft_invalid_websocket_frames import request_head
from rtlab.experiments.websocket_conformance.against_server import server_handshakes
from rtlab.experiments.websocket_conformance.handshake_cases import REQUEST_CASES

__all__ = ["forged_token", "outside_checks"]

_OWASP: Final = "OWASP WebSocket Security Cheat Sheet"

ORIGINS: Final = Check(
    "foreign origins",
    "high",
    "RFC 6455 §10.2",
    "compare Origin as a whole with a list, during the handshake, and answer 403",
)
HOSTS: Final = Check(
    "rebound name", "medium", "RFC 9110 §7.2", "refuse a Host that is no name of this server (DNS rebinding)"
)
CORS: Final = Check(
    "CORS",
    "medium",
    "Fetch §3.3",
    "name only allowed origins in Access-Control-Allow-Origin, never null or *",
)
HANDSHAKE: Final = Check(
    "handshake strictness",
    "medium",
    "RFC 6455 §4.2.1",
    "answer 101 to a handshake that is right in every part, and to nothing else",
)
UNSIGNED: Final = Check(
    "unsigned token", "high", "RFC 8725 §3.1", "pin the algorithm; never take it from the token's own header"
)
URL_TOKEN: Final = Check(
    "token in the URL",
    "medium",
    "RFC 6750 §5.3",
    "take a ticket for one use in the URL, or the token in a header: URLs stand in logs",
)
HEADERS: Final = Check(
    "header limits", "medium", "RFC 6585 §5", "refuse heads beyond some kilobytes with 431"
)
SLOW: Final = Check(
    "slow handshake", "medium", _OWASP, "close a connection whose first request is not whole after 10 s"
)
ERRORS: Final = Check("errors", "low", "CWE-209", "answer what cannot be read with 4xx, and say nothing else")
VERSION: Final = Check("version", "low", "RFC 9110 §10.2.4", "send no Server field that names a version")
SNIFFING: Final = Check("content sniffing", "low", "Fetch §3.6", "send X-Content-Type-Options: nosniff")
TLS: Final = Check("TLS", "high", "RFC 9325 §3.1", "serve wss alone, with TLS 1.2 or newer")

#: The handshake cases that an attacker would use; the others are about extensions and subprotocols.
_STRICT: Final = tuple(
    case
    for case in REQUEST_CASES
    if case.section.startswith(("6455 §4", "6455 §11.3", "9112")) and "rtlab" not in str(case.fields)
)
_JUNK: Final = (
    b"GET\r\n\r\n",
    b"\xff\xfe\x00 / HTTP/1.1\r\n\r\n",
    b"GET /\xff HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: x\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer \xff\r\n\r\n",
)
_INSIDE_TEXT: Final = re.compile(rb"Traceback|File \"|\.py\b|\(\w+\.java|node_modules|stack trace", re.I)
_VERSION: Final = re.compile(r"\d+\.\d+")


def forged_token() -> str:
    """Return an unsigned token (``alg: none``), which anybody can make."""
    return jwt.encode({"sub": "ada", "roles": ["staff"]}, "", "none")


async def outside_checks(target: Target) -> list[Finding]:
    """Run every check that needs no open connection; return a finding for each."""
    plain = await target.handshake({})
    return [
        await _origins(target, plain),
        await _hosts(target, plain),
        await _cors(target),
        await _handshake(target, plain),
        await _unsigned(target, plain),
        await _url_token(target),
        await _headers(target),
        await _slow(target),
        await _errors(target),
        _version(plain),
        await _sniffing(target),
        await _tls(target),
    ]


def _strangers(target: Target) -> dict[str, str | tuple[str, str]]:
    """Return foreign origins that resemble the server's own, by a short description."""
    scheme, host, port = target.url.origin
    name = f"[{host}]" if ":" in host else host
    other = "http" if scheme == "https" else "https"
    own = f"{scheme}://{name}:{port}"
    return {
        "ends right": f"{scheme}://evil-{name}:{port}",  # a name that anybody can buy
        "null": "null",
        "begins right": f"{scheme}://{name}.evil.example:{port}",
        "another beginning": f"{scheme}://localhost.evil.example",
        "a user in front": f"{own}@evil.example",
        "another port": f"{scheme}://{name}:{port - 1 or 2}",
        "another scheme": f"{other}://{name}:{port}",
        "with a path": f"{own}/page",
        "sent twice": (own, "https://evil.example"),
    }


async def _origins(target: Target, plain: TargetResponse) -> Finding:
    strangers = _strangers(target)
    evil = await target.handshake({"Origin": strangers["ends right"]})
    if evil.status == plain.status and plain.status != 101:
        return ORIGINS.unseen(f"{plain} with any Origin and with none: credentials are asked for first")
    passed = ["ends right"] if evil.status == plain.status else []
    for name, origin in [*strangers.items()][1:]:
        if (await target.handshake({"Origin": origin})).status == plain.status:
            passed.append(name)
    any_at_all = {*passed, "sent twice"} == {*strangers}  # many libraries refuse two Origins
    let_in = "any" if any_at_all else ", ".join(passed)
    refused = f"{len(strangers)} strangers were answered {evil}, nobody else was"
    return ORIGINS.judged(f"let in: {let_in}" if passed else "", refused)


async def _hosts(target: Target, plain: TargetResponse) -> Finding:
    answer = await target.handshake({"Host": "rebound.example"})
    same = answer.status == plain.status
    return HOSTS.judged(f"{answer} under the name rebound.example, too" if same else "", str(answer))


async def _cors(target: Target) -> Finding:
    for origin in ("https://evil.example", "null"):
        answer = await target.ask(
            request_head(target.url, {**target.fields, "Origin": origin, "Accept": "text/html"})
        )
        allowed = answer.field("Access-Control-Allow-Origin")
        if allowed in (origin, "*"):
            return CORS.hole(f"Access-Control-Allow-Origin: {allowed} for the origin {origin}")
    return CORS.holds("no stranger's origin is allowed")


async def _handshake(target: Target, plain: TargetResponse) -> Finding:
    opens = plain.status == 101
    # If no handshake succeeds, only the cases that the server must refuse can be judged.
    refusals = [case for case in _STRICT if case.holds(None) or case.name.startswith("version ")]
    cases = _STRICT if opens else tuple(refusals)
    rows = await server_handshakes(str(target.url), cases, fields=target.fields, ssl=target.ssl)
    return HANDSHAKE.judged_rows(rows)


async def _unsigned(target: Target, plain: TargetResponse) -> Finding:
    if plain.status == 101:
        return UNSIGNED.unseen("let in without it")
    answer = await target.handshake({"Authorization": f"Bearer {forged_token()}"})
    return UNSIGNED.judged(
        "a token that nobody signed opened it" if answer.status == 101 else "", str(answer)
    )


async def _url_token(target: Target) -> Finding:
    without, given = await target.handshake({}), await target.handshake({}, token="nonsense")
    if given.status == without.status == 101:
        return URL_TOKEN.unseen("let in without it")
    read = (given.status, given.body) != (without.status, without.body)
    said = f"?token= is read: {given} {given.body[:200].decode(errors='replace')}"
    return URL_TOKEN.judged(said if read else "", f"{given}, as without")


async def _headers(target: Target) -> Finding:
    for what, fields in (
        ("one of 256 KiB", {"X-Long": "x" * (256 << 10)}),
        ("20,000 fields", {f"X-{n}": "x" for n in range(20_000)}),
    ):
        answer = await target.handshake(fields)
        if answer.status and answer.status < 400:
            return HEADERS.hole(f"{answer} to {what}")
    return HEADERS.holds("256 KiB in one field and 20,000 fields are refused")


async def _slow(target: Target) -> Finding:
    async with await target.dial() as wire:
        await wire.send(request_head(target.url, target.fields)[:-2])
        try:
            await wire.more(target.slow)
        except TimeoutError:
            return SLOW.hole(f"half a request stood for {target.slow:g} s")
    return SLOW.holds(f"closed within {target.slow:g} s")


async def _errors(target: Target) -> Finding:
    for junk in _JUNK:
        answer = await target.ask(junk)
        if answer.status >= 500 or _INSIDE_TEXT.search(answer.body):
            return ERRORS.hole(f"{answer} to {junk[:20]!r}: {answer.body[:60]!r}")
    return ERRORS.holds(f"{len(_JUNK)} kinds of junk are refused in few words")


def _version(answer: TargetResponse) -> Finding:
    said = [text for name in ("Server", "X-Powered-By") if _VERSION.search(text := answer.field(name))]
    return VERSION.judged(", ".join(said), "none is named")


async def _sniffing(target: Target) -> Finding:
    page = msgspec.structs.replace(target.url, path="/", query=None)
    answer = await target.ask(request_head(page, {}))
    if answer.status != 200:
        return SNIFFING.unseen(f"{answer} at /")
    right = answer.field("X-Content-Type-Options").lower() == "nosniff"
    return SNIFFING.judged("" if right else "a page without nosniff", "nosniff")


async def _tls(target: Target) -> Finding:
    if target.url.scheme == "ws":
        return TLS.unseen("plain: on this machine nobody listens in; elsewhere everybody does")
    async with await target.dial() as wire:
        spoken = "" if wire.tls is None else f"{wire.tls.version()} {(wire.tls.cipher() or ('',))[0]}"
    old = ssl_module.create_default_context()
    old.check_hostname, old.verify_mode = False, ssl_module.CERT_NONE
    old.set_ciphers("ALL:@SECLEVEL=0")
    old.minimum_version = ssl_module.TLSVersion.MINIMUM_SUPPORTED
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # an old version on purpose
        old.maximum_version = ssl_module.TLSVersion.TLSv1_1
    aged = Target(target.url, old, target.timeout, target.slow, target.fields)
    try:
        async with await aged.dial() as wire:
            return TLS.hole(f"it speaks {wire.tls.version() if wire.tls is not None else 'an old TLS'}")
    except ConnectFailed:
        return TLS.holds(f"{spoken}; TLS 1.1 is refused")
