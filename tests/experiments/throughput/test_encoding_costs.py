from __future__ import annotations

import pytest

from rtlab.experiments.throughput.encoding_costs import measure_encoding
from rtlab.experiments.throughput.payload_feeds import make_feed
from rtlab.protocol.json_and_messagepack_codecs import JSON, MSGPACK
from rtlab.protocol.permessage_deflate import Deflate

ALONE = Deflate(server_no_context_takeover=True)


def test_the_bytes_are_those_of_the_frames():
    feed = make_feed("chat", 40)
    # Two bytes of header up to 125 bytes, then four (RFC 6455 §5.2).
    sizes = [len(JSON.encode(message)) for message in feed]
    plain = sum(size + (2 if size < 126 else 4) for size in sizes) / len(feed)
    assert measure_encoding(feed, repeats=1).wire_bytes == pytest.approx(plain)


def test_what_a_message_alone_does_not_gain_a_batch_does():
    feed = make_feed("ticks", 100)

    def size(batch_size: int, deflate: Deflate | None) -> float:
        return measure_encoding(feed, batch_size=batch_size, deflate=deflate, repeats=1).wire_bytes

    assert size(1, ALONE) > 0.7 * size(1, None)
    assert size(20, ALONE) < 0.3 * size(1, None)
    assert size(1, Deflate()) < 0.3 * size(1, None)


def test_compressed_json_is_hardly_larger_than_compressed_messagepack():
    feed = make_feed("ticks", 100)
    plain = [measure_encoding(feed, codec=c, repeats=1).wire_bytes for c in (JSON, MSGPACK)]
    small = [
        measure_encoding(feed, codec=c, deflate=Deflate(), repeats=1).wire_bytes for c in (JSON, MSGPACK)
    ]
    assert plain[0] > 1.2 * plain[1]
    assert small[0] < 1.15 * small[1]
