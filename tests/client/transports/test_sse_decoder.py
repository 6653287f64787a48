"""The event stream format, rule by rule, however the bytes are cut."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from rtlab.client.transports.sse_decoder import SseDecoder
from rtlab.errors import MessageTooLarge
from rtlab.experiments.sse_conformance.parsing_cases import PARSING_CASES, PARSING_RULES, ParsingCase

Event = tuple[str, str, str]
Outcome = tuple[list[Event], float | None, str]


def run(chunks: list[bytes]) -> Outcome:
    decoder = SseDecoder()
    events = [(e.type, e.data, e.id) for chunk in chunks for e in decoder.feed(chunk)]
    return events, decoder.retry, decoder.last_event_id


def reference(stream: bytes) -> Outcome:
    """The standard's text, word for word and slow: the whole stream, decoded, as a list of lines."""
    text = stream.decode("utf-8", "replace").removeprefix("\ufeff")
    lines, line, position = [], "", 0
    while position < len(text):
        if text[position] in "\r\n":
            position += 2 if text[position : position + 2] == "\r\n" else 1
            lines.append(line)
            line = ""
        else:
            line += text[position]
            position += 1
    events: list[Event] = []
    retry, last, buffered, kind, data = None, "", "", "", ""
    for line in lines:
        if line == "":
            last = buffered
            if data != "":
                events.append((kind or "message", data[:-1], last))
            kind = data = ""
        elif line[0] != ":":
            name, value = line, ""
            if ":" in line:
                colon = line.index(":")
                name, value = line[:colon], line[colon + 1 :]
                if value[:1] == " ":
                    value = value[1:]
            if name == "event":
                kind = value
            elif name == "data":
                data += value + "\n"
            elif name == "id" and "\0" not in value:
                buffered = value
            elif name == "retry" and value and all(c in "0123456789" for c in value):
                retry = int(value) / 1000
    return events, retry, last


@pytest.mark.parametrize("case", PARSING_CASES, ids=lambda case: f"{case.rule}-{case.name}")
class TestEveryRule:
    def test_whole(self, case: ParsingCase) -> None:
        assert run([case.stream]) == (list(case.events), case.retry, case.last_event_id)

    def test_at_every_two_way_split(self, case: ParsingCase) -> None:
        expected = (list(case.events), case.retry, case.last_event_id)
        for cut in range(len(case.stream) + 1):
            assert run([case.stream[:cut], case.stream[cut:]]) == expected, cut

    def test_byte_by_byte(self, case: ParsingCase) -> None:
        chunks = [case.stream[i : i + 1] for i in range(len(case.stream))]
        assert run(chunks) == (list(case.events), case.retry, case.last_event_id)

    def test_the_reference_agrees(self, case: ParsingCase) -> None:
        assert reference(case.stream) == (list(case.events), case.retry, case.last_event_id)


def test_no_rule_without_a_row() -> None:
    assert {case.rule for case in PARSING_CASES} == set(PARSING_RULES)


pieces = st.sampled_from(
    [
        *(b"data", b"event", b"id", b"retry", b"Data", b":", b": ", b" ", b"\r", b"\n", b"\r\n", b"\n\n"),
        *(
            b"x",
            b"7",
            b"-5",
            b"\0",
            b"\xef\xbb\xbf",
            b"\xef",
            b"\xbb",
            b"\xe2\x80",
            b"\xa8",
            b"\xff",
            "é".encode(),
        ),
        *(b"data: x\n\n", b"id: 1\n", b"event: e\n", b"data: a\r\ndata: b\r\n", b"retry: 10\n", b":c\n"),
    ]
)
streams = st.one_of(st.binary(max_size=60), st.lists(pieces, max_size=30).map(b"".join))


@given(streams, st.lists(st.integers(0, 200), max_size=6))
@example(b"\xef\xbb\xbf" * 2 + b"data:x\r\n\r\n", [1, 2, 4])
@example(b"data:x\r\r\n\ndata:\xe2\x80\r\n\r", [7, 8])
def test_any_cut_of_any_stream_reads_like_the_standard(stream: bytes, cuts: list[int]) -> None:
    edges = [0, *sorted(min(cut, len(stream)) for cut in cuts), len(stream)]
    chunks = [stream[a:b] for a, b in pairwise(edges)]
    assert run(chunks) == reference(stream)


def test_a_former_id_stays_until_another_comes() -> None:
    decoder = SseDecoder("41")
    assert decoder.feed(b"data: x\n\n")[0].id == "41"
    assert decoder.feed(b"id: 42\ndata: y\n\n")[0].id == decoder.last_event_id == "42"


def test_retry_of_any_length_is_a_number() -> None:
    decoder = SseDecoder()
    decoder.feed(b"retry: " + b"9" * 5000 + b"\n")
    assert decoder.retry is not None
    assert decoder.retry > 1e14
    decoder.feed(b"retry: " + b"0" * 5000 + b"5\n")
    assert decoder.retry == 0.005


class TestLimits:
    LIMITED = (10, 20)  # bytes of an event, bytes of a line

    def decoder(self) -> SseDecoder:
        event, line = self.LIMITED
        return SseDecoder(max_event_bytes=event, max_line_bytes=line)

    @pytest.mark.parametrize("size", [1, 3, 100])
    @pytest.mark.parametrize(
        ("stream", "fits"),
        [
            (b"data:0123456789\n\n", True),
            (b"data:0123456789a\n\n", False),
            (b"data:01234\ndata:5678\n\n", True),
            (b"data:01234\ndata:56789\n\n", False),
            (b"data\n" * 11 + b"\n", True),
            (b"data\n" * 12 + b"\n", False),
            (b":" + b"c" * 19 + b"\ndata:x\n\n", True),
            (b":" + b"c" * 20 + b"\ndata:x\n\n", False),
            (b"id:" + b"c" * 100, False),
        ],
    )
    def test_the_bound_is_exact_at_any_cut(self, stream: bytes, fits: bool, size: int) -> None:
        decoder = self.decoder()
        chunks = [stream[i : i + size] for i in range(0, len(stream), size)]
        if fits:
            assert sum(len(decoder.feed(chunk)) for chunk in chunks) == 1
            return
        with pytest.raises(MessageTooLarge):
            assert [decoder.feed(chunk) for chunk in chunks] == []

    def test_events_before_the_large_one_are_delivered(self) -> None:
        decoder = self.decoder()
        assert [e.data for e in decoder.feed(b"data:x\n\ndata:" + b"y" * 11 + b"\n\ndata:z\n\n")] == ["x"]
        for _ in range(2):
            with pytest.raises(MessageTooLarge, match="11 bytes, over the limit of 10"):
                decoder.feed(b"data:z\n\n")

    def test_a_long_line_in_small_pieces_is_held_once(self) -> None:
        # Quadratic copying would take minutes here.
        decoder = SseDecoder()
        assert decoder.feed(b"data:") == []
        for _ in range(1_000_000):
            decoder.feed(b"x")
        (event,) = decoder.feed(b"\n\n")
        assert len(event.data) == 1_000_000
