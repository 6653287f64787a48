"""What holds for every toxic that loses bytes or draws, in one direction of a connection without sockets."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from rtlab.faults.proxy.toxic_pipe import Pipe
from rtlab.faults.toxics.toxic_registry_and_base_classes import parse_entry

UPGRADE = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n"
EVENTS = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
FRAME = b'\x81\x0f{"type":"chat"}'
PING = b"\x89\x00"
CHUNK = b"d\r\ndata: hello\n\n\r\n"


class Wire:
    """Both sockets of a connection, and the connection."""

    def __init__(self) -> None:
        self.out = b""
        self.ended = self.fresh = False
        self.protocol, self.rng_seed, self.unread, self.backlog = "tcp", "0/1", 0, 0

    def feed(self, data: bytes) -> None:
        assert not self.ended
        self.out += data

    def end(self, *how: str) -> None:
        self.ended = True

    def eof(self) -> None: ...
    def pause_source(self) -> None: ...
    def resume_source(self) -> None: ...
    def record(self, *_: object, **__: object) -> None: ...


def pipe_with(head: bytes, toxic: dict[str, Any], protocol: str = "tcp") -> tuple[Pipe, Wire]:
    wire: Any = Wire()
    wire.protocol = protocol
    # Timers never ring: what a removal leaves undone stays undone.
    loop: Any = SimpleNamespace(call_later=lambda *_: SimpleNamespace(cancel=lambda: None))
    pipe = Pipe(wire, "downstream", wire, wire, loop)
    pipe.feed(head)
    pipe.apply([parse_entry({"stream": "downstream", **toxic}, protocol)])
    return pipe, wire


MIDFRAME = {"type": "kill_midframe"}


@pytest.mark.parametrize(
    ("head", "toxic", "data"),
    [
        (UPGRADE, MIDFRAME, FRAME),
        (EVENTS, MIDFRAME, CHUNK),
        (UPGRADE, {"type": "reset_peer", "attributes": {"timeout": 50}}, FRAME),
        (UPGRADE, {"type": "timeout"}, FRAME),
        (UPGRADE, {"type": "blackhole"}, FRAME),
        (UPGRADE, {"type": "limit_data", "attributes": {"bytes": 5}}, FRAME),
    ],
    ids=["midframe", "mid-event", "reset_peer", "timeout", "blackhole", "limit_data"],
)
def test_a_stream_that_lost_bytes_does_not_live_on_when_the_toxic_is_removed(head, toxic, data):
    pipe, wire = pipe_with(head, toxic)
    pipe.feed(data)
    if not wire.ended:
        pipe.apply([])
    assert wire.ended
    assert head + data != wire.out


def test_nothing_follows_half_a_frame():
    pipe, wire = pipe_with(UPGRADE, MIDFRAME)
    pipe.feed(FRAME + PING + FRAME)
    pipe.feed(PING)
    assert wire.out == UPGRADE + FRAME[: len(FRAME) // 2]


def test_nothing_follows_half_an_event_not_even_the_end_of_the_body():
    pipe, wire = pipe_with(EVENTS, MIDFRAME)
    pipe.feed(CHUNK + b"0\r\n\r\n")
    whole = b"%x\r\n%b\r\n" % (13, b"data: hello\n\n")
    assert wire.out.startswith(EVENTS)
    assert wire.out.removeprefix(EVENTS) == whole[: len(whole) // 2]


def test_a_toxic_that_lost_nothing_leaves_the_stream_alone():
    for toxic in (MIDFRAME, {"type": "reset_peer"}, {"type": "blackhole"}):
        pipe, wire = pipe_with(UPGRADE, toxic)
        pipe.apply([])
        pipe.feed(FRAME)
        assert (wire.ended, wire.out) == (False, UPGRADE + FRAME)


@pytest.mark.parametrize(
    ("kind", "protocol", "attributes"),
    [
        ("corrupt", "tcp", {"probability": 0.2}),
        ("loss", "udp", {"probability": 0.4, "burst": 8}),
    ],
)
def test_a_toxic_in_place_draws_anew_from_a_new_seed(kind, protocol, attributes):
    pipe, wire = pipe_with(b"", {"type": kind, "attributes": attributes}, protocol)
    drawn: list[bytes] = []
    for seed in (3, 9, 3, 12, 3):  # 9 and 12 leave `loss` in a run of losses, which 3 would prolong
        wire.rng_seed, wire.out = f"{seed}/1", b""
        pipe.reseed()
        for n in range(200):
            pipe.feed(bytes([n]))
        drawn.append(wire.out)
    assert len(set(drawn[::2])) == 1
    assert len(set(drawn)) == 3


def test_a_new_seed_does_not_take_back_what_corrupt_is_to_skip():
    toxic = {"type": "corrupt", "attributes": {"probability": 1, "skip": 10}}
    pipe, wire = pipe_with(b"head", toxic)  # which passed before the toxic was there
    pipe.feed(b"12345678")
    pipe.reseed()
    pipe.feed(b"90xx")
    assert wire.out[:-2] == b"head1234567890"
    assert wire.out[-2:] != b"xx"
