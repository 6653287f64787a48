"""Cost of each way to encode a feed: bytes on the wire, CPU time of the sender and of the receiver.

The measured code is the server's and the client's own, without sockets in between: encode, compress, frame;
decompress, decode. Every message passes through all steps and must arrive unchanged.
"""

from __future__ import annotations

import time
import zlib
from collections.abc import Sequence
from typing import Final, NamedTuple

import msgspec

from rtlab.errors import LabError
from rtlab.protocol.json_and_messagepack_codecs import JSON, Codec
from rtlab.protocol.message_format import Message
from rtlab.protocol.permessage_deflate import Deflate, Deflater, deflated
from rtlab.protocol.websocket_framing import BINARY, TEXT, read_header, websocket_frame

__all__ = ["EncodingCost", "measure_encoding"]

_TAIL: Final = b"\x00\x00\xff\xff"


class EncodingCost(NamedTuple):
    """Mean cost of one message of a feed.

    Parameters
    ----------
    wire_bytes : float
        Bytes of the message's share of a WebSocket frame, header included.
    sender_us, receiver_us : float
        CPU time of the sender and of the receiver in µs, from the fastest repeat.
    """

    wire_bytes: float
    sender_us: float
    receiver_us: float


def measure_encoding(
    feed: Sequence[Message],
    *,
    codec: Codec = JSON,
    batch_size: int = 1,
    deflate: Deflate | None = None,
    repeats: int = 3,
) -> EncodingCost:
    """Pass a feed through the sender's and the receiver's code, and measure both.

    Parameters
    ----------
    feed : sequence of Message
        Messages to send.
    codec : Codec
        JSON or MessagePack.
    batch_size : int
        Number of messages in each frame.
    deflate : Deflate or None
        Compression parameters of the server; None for no compression.
    repeats : int
        Number of runs, each with a new compression context.

    Raises
    ------
    LabError
        When the decoded messages differ from those sent, which would be a bug in rtlab.

    Examples
    --------
    >>> from rtlab.experiments.throughput.payload_feeds import make_feed
    >>> feed = make_feed("chat", 50)
    >>> plain, small = measure_encoding(feed), measure_encoding(feed, deflate=Deflate())
    >>> small.wire_bytes < 0.6 * plain.wire_bytes
    True
    """
    senders: list[float] = []
    receivers: list[float] = []
    size = 0
    for _ in range(repeats):
        began = time.thread_time()
        frames = _send(feed, codec, batch_size, deflate)
        sent = time.thread_time()
        came = _receive(frames, codec, deflate)
        senders.append(sent - began)
        receivers.append(time.thread_time() - sent)
        size = sum(map(len, frames))
        if _flat(came) != _flat(_batches(feed, batch_size)):
            raise LabError("expected what was sent, got something else: a fault of rtlab's encodings")
    count = len(feed)
    return EncodingCost(size / count, 1e6 * min(senders) / count, 1e6 * min(receivers) / count)


def _batches(feed: Sequence[Message], batch_size: int) -> list[Message]:
    if batch_size == 1:
        return list(feed)
    starts = range(0, len(feed), batch_size)
    return [Message("batch", [msgspec.to_builtins(m) for m in feed[at : at + batch_size]]) for at in starts]


def _flat(messages: Sequence[Message]) -> list[bytes]:
    return [msgspec.json.encode(message) for message in messages]


def _send(feed: Sequence[Message], codec: Codec, batch_size: int, deflate: Deflate | None) -> list[bytes]:
    frames: list[bytes] = []
    opcode = BINARY if codec.binary else TEXT
    takeover = deflate is not None and not deflate.server_no_context_takeover
    deflater = Deflater(deflate) if deflate is not None and takeover else None
    for message in _batches(feed, batch_size):
        data, rsv = codec.encode(message), 0
        if deflater is not None:
            data, rsv = deflater(data), 0x40
        elif deflate is not None and len(small := deflated(data, deflate)) < len(data):
            data, rsv = small, 0x40
        frames.append(websocket_frame(opcode, data, rsv))
    return frames


def _receive(frames: Sequence[bytes], codec: Codec, deflate: Deflate | None) -> list[Message]:
    came: list[Message] = []
    inflater = zlib.decompressobj(-15)
    for frame in frames:
        header = read_header(frame)
        assert header is not None
        data = frame[header.size_bytes :]
        if header.rsv & 4:
            if deflate is not None and deflate.server_no_context_takeover:
                inflater = zlib.decompressobj(-deflate.server_max_window_bits)
            data = inflater.decompress(data + _TAIL)
        came.append(codec.decode(data))
    return came
