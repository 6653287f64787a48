"""Whatever bytes come, to whichever endpoint: no 500, no traceback, no task or descriptor left behind.

The long form is ``RTLAB_FUZZ=100000 pytest -n0 tests/server/long_fuzz.py``: by its name, as it takes long.
Hypothesis draws inputs that mean something; each is sent as it is, and then damaged in many ways, which
costs a fiftieth of drawing another.
"""

from __future__ import annotations

import asyncio
import os
import random
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any
from urllib.parse import urlsplit

import httpx
import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rtlab.experiments.endpoint.craft_invalid_websocket_frames import new_key, raw_frame
from rtlab.experiments.security.login_and_message_attacks import log_in
from rtlab.lab.lab import Lab
from rtlab.protocol.message_format import RESERVED_TYPES

#: Of what was drawn, so many damaged copies are sent.
DAMAGED = 24
#: Drawn of each kind.
EXAMPLES = max(1, int(os.environ.get("RTLAB_FUZZ", "600")) // 3 // (1 + DAMAGED))
PATIENCE = 20.0

BYTES = st.binary(max_size=64)
TEXT = st.text(max_size=24) | st.sampled_from(
    ["../staff", "\0", "\u202e", "x" * 10_000, "lobby", "__class__"]
)
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | TEXT
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=8,
)
TYPES = st.sampled_from([*sorted(RESERVED_TYPES), "chat", "order", "cursor_move"]) | TEXT
FIELDS = ("id", "roomId", "seq", "stream", "offset", "epoch", "ts", "sent", "token", "timestamp", "clientId")
MESSAGES = st.builds(
    lambda kind, payload, more: {"type": kind, "payload": payload, **more},
    TYPES,
    VALUES | st.dictionaries(st.sampled_from(["roomId", "token", "rate", "size", "count", "v"]), VALUES),
    st.dictionaries(st.sampled_from(FIELDS), VALUES, max_size=3),
)
ENCODED = st.one_of(MESSAGES, st.lists(MESSAGES, max_size=4), VALUES).map(
    lambda value: msgspec.json.encode(value, enc_hook=str)
)
PATHS = st.sampled_from(
    ["/", "/ws", "/sse", "/poll", "/send", "/rtc/offer", "/healthz", "/readyz", "/metrics", "/stats", "/log"]
    + [f"/api/auth/{name}" for name in ("token", "refresh", "ticket", "revoke", "rotate", "roles")]
)
QUERY = st.dictionaries(
    st.sampled_from(["room", "cursor", "session", "seq", "clientId", "ticket", "token", "user", "batch"]),
    st.text(st.characters(min_codepoint=33, max_codepoint=126, exclude_characters="#"), max_size=30),
    max_size=3,
)
HEADERS = st.dictionaries(
    st.sampled_from(
        ["Authorization", "Origin", "Cookie", "Content-Type", "Content-Encoding", "Last-Event-ID", "Referer",
         "Upgrade", "Connection", "Sec-WebSocket-Key", "Sec-WebSocket-Version", "Sec-WebSocket-Extensions",
         "Sec-WebSocket-Protocol", "Accept", "Host", "Expect", "Transfer-Encoding", "Content-Length"]
    ),
    BYTES.map(lambda data: data.replace(b"\r", b"").replace(b"\n", b""))
    | st.sampled_from([b"application/json", b"Bearer \xff", b"websocket", b"13", b"null", b"100-continue"]),
    max_size=4,
)  # fmt: skip


#: What parsers trip over.
SPECIAL = [b"\xff", b"\0", b"\r\n", b"%00", b"\xed\xa0\x80", b"\\ud800", b"-1", b"1e999", b"9" * 40, b'"' * 3,
           b"[" * 200, b"__proto__", b"../", b",", b";", b"=", b":", b"\xc0\x80"]  # fmt: skip


def damaged(data: bytes, rng: random.Random) -> bytes:
    """A copy in which up to four places are not what they were."""
    copy = bytearray(data)
    for _ in range(rng.randint(1, 4)):
        start = rng.randint(0, len(copy))
        end = min(len(copy), start + rng.choice([0, 1, 1, 2, 4, 16, 64]))
        kind = rng.randrange(5)
        if kind == 0:
            copy[start:end] = rng.randbytes(end - start)
        elif kind == 1:
            del copy[start:end]
        elif kind == 2:
            copy[start:start] = copy[start:end] * rng.choice([1, 1, 50])
        elif kind == 3:
            copy[start:end] = rng.choice(SPECIAL)
        elif start < len(copy):
            copy[start] ^= 1 << rng.randrange(8)
    return bytes(copy)


@contextmanager
def connected(lab: Lab) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", urlsplit(lab.url).port or 0), PATIENCE) as wire:
        yield wire


def answer(wire: socket.socket) -> bytes:
    """What comes back until the server is done, or has begun to stream."""
    said = b""
    with suppress(TimeoutError, ConnectionError):
        while b"\r\n\r\n" not in said and (data := wire.recv(65_536)):
            said += data
    return said


def check(said: bytes, sent: bytes) -> None:
    status = said.split(b" ", 2)[1:2]
    assert not status or status[0] < b"500" or status[0] == b"503", (said[:300], sent[:300])
    assert b"Traceback" not in said


def shoot(lab: Lab, data: bytes) -> None:
    with connected(lab) as wire:
        with suppress(ConnectionError):
            wire.sendall(data)
            wire.shutdown(socket.SHUT_WR)
        check(answer(wire), data)


def requests(lab: Lab, bearer: bytes) -> None:
    @settings(max_examples=EXAMPLES, suppress_health_check=list(HealthCheck))
    @given(st.sampled_from([b"GET", b"POST", b"HEAD", b"OPTIONS", b"PUT"]), PATHS, QUERY, HEADERS,
           ENCODED | BYTES, st.booleans(), BYTES, st.integers(0, 2**32))  # fmt: skip
    def fuzz(
        method: bytes, path: str, query: Any, headers: Any, body: bytes, own: bool, junk: bytes, seed: int
    ) -> None:
        fields = {"Host": b"127.0.0.1", "Content-Length": str(len(body)).encode()}
        fields |= {"Authorization": bearer, "Content-Type": b"application/json"} if own else {}
        fields |= headers
        target = path + ("?" + "&".join(f"{name}={value}" for name, value in query.items()) if query else "")
        head = method + b" " + target.encode() + b" HTTP/1.1\r\n"
        lines = b"".join(name.encode() + b": " + value + b"\r\n" for name, value in fields.items())
        data, rng = head + lines + b"\r\n" + body + junk, random.Random(seed)
        shoot(lab, data)
        for _ in range(DAMAGED):
            shoot(lab, damaged(data, rng))

    fuzz()


def messages(lab: Lab, bearer: bytes) -> None:
    frames = st.tuples(
        st.integers(0, 15) | st.sampled_from([1, 1, 1, 2, 9]),
        ENCODED | BYTES,
        st.fixed_dictionaries(
            {
                "fin": st.sampled_from([True, True, True, False]),
                "rsv": st.sampled_from([0, 0, 0, 0, 4, 2, 7]),
                "mask": st.sampled_from([True] * 9 + [False]),
                "length_bytes": st.sampled_from([None, None, None, 8]),
            }
        ),
    )

    @settings(max_examples=EXAMPLES, suppress_health_check=list(HealthCheck))
    @given(st.lists(frames, min_size=1, max_size=8), BYTES, st.integers(0, 2**32))
    def fuzz(sent: list[tuple[int, bytes, Any]], junk: bytes, seed: int) -> None:
        head = (
            b"GET /ws HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Extensions: permessage-deflate\r\n"
            b"Sec-WebSocket-Key: " + new_key().encode() + b"\r\nAuthorization: " + bearer + b"\r\n\r\n"
        )
        rng = random.Random(seed)
        shoot(lab, head + b"".join(raw_frame(opcode, data, **how) for opcode, data, how in sent) + junk)
        for n in range(DAMAGED):
            if n % 2:  # what the frames hold
                texts = (raw_frame(opcode, damaged(data, rng), **how) for opcode, data, how in sent)
                shoot(lab, head + b"".join(texts) + junk)
            else:  # the frames themselves
                whole = b"".join(raw_frame(opcode, data, **how) for opcode, data, how in sent)
                shoot(lab, head + damaged(whole, rng) + junk)

    fuzz()


def junk(lab: Lab, bearer: bytes) -> None:
    @settings(max_examples=EXAMPLES, suppress_health_check=list(HealthCheck))
    @given(st.binary(max_size=300), st.integers(0, 2**32))
    def fuzz(data: bytes, seed: int) -> None:
        rng = random.Random(seed)
        shoot(lab, data)
        for _ in range(DAMAGED):
            shoot(lab, damaged(b"GET /ws HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n" + data, rng))

    fuzz()


async def settled(lab: Lab, tasks: int, descriptors: int) -> dict[str, Any]:
    """The server's figures, once what was begun has ended."""
    async with asyncio.timeout(60):
        while True:
            stats = await lab.stats()
            if stats["tasks"] <= tasks + 1 and stats["descriptors"] <= descriptors + 2:
                return stats
            await asyncio.sleep(0.1)


@pytest.mark.filterwarnings("ignore:Generating overly large repr")  # of strings that are long on purpose
@pytest.mark.parametrize("security", ["open", "right"])
async def test_no_bytes_make_the_server_fail_or_grow(security: str) -> None:
    options: dict[str, Any] = {"token_ttl": 86_400} if security == "right" else {}
    async with Lab(
        security=security, compression=True, poll_timeout=0.01, session_ttl=0.5, leave_grace=0.1, **options
    ) as lab:
        token = (await log_in(lab, "bob"))["accessToken"] if security == "right" else ""
        before = await lab.stats()
        for kind in (requests, messages, junk):
            await asyncio.to_thread(kind, lab, f"Bearer {token}".encode())
        after = await settled(lab, before["tasks"], before["descriptors"])
        assert after["pid"] == before["pid"]
        assert after["rss_bytes"] - before["rss_bytes"] < 64 << 20
        assert "Traceback" not in lab._nodes[0].last_lines()
        async with httpx.AsyncClient() as http:
            assert (await http.get(f"{lab.url}/healthz")).status_code == 200
