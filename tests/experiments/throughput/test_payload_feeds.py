from __future__ import annotations

from pathlib import Path

import pytest

from rtlab.experiments.throughput.payload_feeds import FEEDS, load_feed, main, make_feed
from rtlab.protocol.json_and_messagepack_codecs import JSON, MSGPACK
from rtlab.resources import data_path


def test_the_files_are_what_the_script_makes(tmp_path: Path):
    assert main(["--save", str(tmp_path)]) == 0
    for name in FEEDS:
        made = (tmp_path / f"{name}.jsonl").read_bytes()
        assert data_path(f"feeds/{name}.jsonl").read_bytes() == made
        assert load_feed(name) == make_feed(name)


@pytest.mark.parametrize("name", FEEDS)
def test_a_feed_is_messages_of_the_wire_that_a_seed_decides(name: str):
    feed = make_feed(name, 20)
    assert feed == make_feed(name)[:20] != make_feed(name, 20, seed=1)
    for message in feed:
        assert JSON.decode(JSON.encode(message)) == MSGPACK.decode(MSGPACK.encode(message)) == message


def test_an_unknown_feed_is_named():
    for function in (make_feed, load_feed):
        with pytest.raises(ValueError, match=r"expected one of ticks, chat, .*, got 'tick'"):
            function("tick")
