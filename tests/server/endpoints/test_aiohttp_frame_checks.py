"""Frames in pieces of every size are judged as they are whole, and what came before is not lost."""

from __future__ import annotations

import itertools

import pytest

from rtlab.experiments.endpoint.craft_invalid_websocket_frames import raw_frame
from rtlab.server.endpoints.aiohttp_frame_checks import StrictFrames


class Parser:
    def __init__(self) -> None:
        self.got = b""
        self.error: BaseException | None = None

    def feed_data(self, data: bytes) -> tuple[bool, bytes]:
        self.got += data
        return False, b""

    def feed_eof(self) -> None: ...

    def set_exception(self, exc: BaseException) -> None:
        self.error = exc


GOOD = b"".join(
    [
        raw_frame(1, b"x" * size, fin=fin)
        + raw_frame(9, b"ping")
        + (b"" if fin else raw_frame(0, b"y" * size))
        for size in (0, 5, 125, 126, 300)
        for fin in (True, False)
    ]
) + raw_frame(2, b"z" * 65_536)


@pytest.mark.parametrize("step", [1, 2, 3, 7, 100, 1 << 20])
def test_good_frames_pass_whatever_the_pieces(step: int) -> None:
    parser = Parser()
    strict = StrictFrames(parser, parser)
    pieces = [*range(0, 4000, step), *range(4000, len(GOOD), 5000), len(GOOD)]
    for at, end in itertools.pairwise(pieces):
        strict.feed_data(GOOD[at:end])
    assert (parser.error, parser.got == GOOD) == (None, True)


@pytest.mark.parametrize("step", [1, 2, 3, 7, 100])
@pytest.mark.parametrize(
    ("bad", "why"),
    [
        (raw_frame(1, b"x", mask=False), "must be masked"),
        (raw_frame(9, b"x", rsv=4), "no reserved bits"),
        (raw_frame(1, b"", fin=False) + raw_frame(2, b"x"), "inside another"),
        (raw_frame(1, b"x" * 9, length_bytes=8), "as short as it can be"),
        (raw_frame(1, b"x" * 9, length_bytes=2), "as short as it can be"),
        (raw_frame(1, length=1 << 63), "as short as it can be"),
    ],
)
def test_a_bad_frame_is_refused_behind_what_was_good(bad: bytes, why: str, step: int) -> None:
    parser, good = Parser(), raw_frame(1, b"before")
    strict = StrictFrames(parser, parser)
    stream = good + bad + raw_frame(1, b"after")
    for at in range(0, len(stream), step):
        strict.feed_data(stream[at : at + step])
    assert why in str(parser.error)
    assert parser.got.startswith(good)
    assert raw_frame(1, b"after") not in parser.got


WHOLE = [(opcode, size) for opcode in (1, 2) for size in (0, 1, 125, 126, 300, 65_535)]


@pytest.mark.parametrize(("opcode", "size"), WHOLE)
def test_a_whole_message_is_offered_with_the_beginning_of_its_payload(opcode: int, size: int) -> None:
    parser, payload = Parser(), b"x" * size
    strict = StrictFrames(parser, parser)
    offered: list[tuple[bytes, int]] = []
    strict.take_message = lambda data, start: offered.append((data, start)) or len(offered) == 1
    data = raw_frame(opcode, payload)
    for _ in range(2):
        strict.feed_data(data)
    start = len(data) - size
    assert offered == [(data, start)] * 2
    assert parser.got == data  # the second, which was not taken


@pytest.mark.parametrize(
    "pieces",
    [
        [raw_frame(1, b"compressed", rsv=4)],
        [raw_frame(1, b"one") + raw_frame(1, b"two")],
        [raw_frame(1, b"in pieces")[:-1], raw_frame(1, b"in pieces")[-1:]],
        [raw_frame(1, b"fragments", fin=False), raw_frame(0, b"of one message")],
        [raw_frame(9, b"ping")],
        [raw_frame(2, b"x" * 65_536)],
    ],
)
def test_everything_else_goes_to_the_parser(pieces: list[bytes]) -> None:
    parser = Parser()
    strict = StrictFrames(parser, parser)
    offered: list[bytes] = []
    strict.take_message = lambda data, start: offered.append(data) or True
    for piece in pieces:
        strict.feed_data(piece)
    assert (offered, parser.got, parser.error) == ([], b"".join(pieces), None)
