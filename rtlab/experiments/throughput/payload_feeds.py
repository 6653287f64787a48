"""Feeds with realistic payloads, on which compression and encodings are compared.

Market ticks, chat, telemetry, and the full states of a football match, generated from a seed. The same
messages are stored in ``data/feeds/``;
``python -m rtlab.experiments.throughput.payload_feeds`` writes them again.
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any, Final

import msgspec

from rtlab.protocol.message_format import Message
from rtlab.resources import data_path

__all__ = ["FEEDS", "load_feed", "main", "make_feed"]

_SEED: Final = 2026
_START_MS: Final = 1_790_000_000_000

_VOCABULARY: Final = (
    "the I to a and you it is that of in we on for not have this with was are be at but so just can "
    "what do know like get one my me if out up all there about would think time see your go now when "
    "how good really they going want from some then as or he she an more here could did yes no okay "
    "thanks please maybe sure right still again never today tomorrow yesterday morning later meeting "
    "coffee lunch weekend train ticket deploy server build branch test review release bug latency "
    "queue socket cache budget design picture music game match goal weather rain sunny holiday family "
    "question answer problem idea plan money phone email link wait stop start help nice great weird "
    "lovely quick slow broken finished nobody everybody something anything always sometimes"
)
_WORDS: Final = _VOCABULARY.split()
_WEIGHTS: Final = [1 / (rank + 2) for rank in range(len(_WORDS))]  # roughly Zipf's law
_NAMES: Final = ("amara", "ben", "chiara", "dmitri", "elif", "farid", "grace", "hiro", "ines", "jonas")
_SYMBOLS: Final = ("ACME", "BOLT", "CRUX", "DELTA", "EMBER", "FLUX", "GAMMA", "HALO", "IRIS", "JADE")
_MARKS: Final = (".", ".", "?", "!", "", " :-)", "…")


def _ticks(rng: random.Random) -> Iterator[Any]:
    """Prices of ten instruments as random walks: short messages whose numbers hardly change."""
    prices = {symbol: rng.uniform(20, 400) for symbol in _SYMBOLS}
    at, volume = _START_MS, 0
    while True:
        symbol = rng.choice(_SYMBOLS)
        prices[symbol] *= 1 + rng.gauss(0, 0.0004)
        at += 1 + int(rng.expovariate(1 / 12))
        volume += rng.randrange(1, 9) * 100
        last, spread = prices[symbol], 0.01 * rng.randrange(1, 5)
        yield {
            "symbol": symbol,
            "bid": round(last - spread, 2),
            "ask": round(last + spread, 2),
            "last": round(last, 2),
            "volume": volume,
            "time": at,
        }


def _chat(rng: random.Random) -> Iterator[Any]:
    """Sentences of ten people with realistic word frequencies: mostly text, little structure."""
    at = _START_MS
    while True:
        at += 200 + int(rng.expovariate(1 / 3000))
        words = rng.choices(_WORDS, _WEIGHTS, k=3 + int(rng.expovariate(1 / 9)))
        text = " ".join(words).capitalize() + rng.choice(_MARKS)
        yield {"user": rng.choice(_NAMES), "text": text, "time": at}


def _telemetry(rng: random.Random) -> Iterator[Any]:
    """Readings of eight pumps: always the same keys, with digits that are mostly noise."""
    at = _START_MS
    while True:
        at += 125
        yield {
            "device": f"pump-{rng.randrange(8):02d}",
            "time": at,
            "temperature": round(rng.gauss(71, 2), 3),
            "pressure": round(rng.gauss(4.2, 0.1), 4),
            "flow": round(rng.gauss(118, 6), 2),
            "vibration": [round(rng.gauss(0, 0.05), 5) for _ in range(3)],
            "status": rng.choices(("ok", "ok", "ok", "warning"))[0],
        }


def _football(rng: random.Random) -> Iterator[Any]:
    """The whole state of a match, twice a second: large messages, each nearly equal to the last one."""
    players: list[dict[str, Any]] = [
        {"id": 10 * side + n, "name": f"{name} {'HA'[side]}", "number": n + 1, "stamina": 100.0, "cards": 0}
        for side in (0, 1)
        for n, name in enumerate((*_NAMES, "kofi"))
    ]
    places = {id(player): (rng.uniform(0, 105), rng.uniform(0, 68)) for player in players}
    second, score, shots = 0.0, [0, 0], [0, 0]
    while True:
        second += 0.5
        for player in players:
            x, y = places[id(player)]
            x, y = min(105, max(0, x + rng.gauss(0, 1.5))), min(68, max(0, y + rng.gauss(0, 1.5)))
            places[id(player)] = x, y
            player |= {"x": round(x, 1), "y": round(y, 1), "stamina": round(player["stamina"] - 0.02, 2)}
        ball = rng.choice(players)
        if rng.random() < 0.02:
            side = rng.randrange(2)
            shots[side] += 1
            score[side] += rng.random() < 0.2
        yield {
            "match": "lab-2026-f1",
            "clock": f"{int(second) // 60:02d}:{second % 60:04.1f}",
            "score": list(score),
            "shots": list(shots),
            "possession": ball["id"],
            "ball": {"x": ball["x"], "y": ball["y"]},
            "players": [dict(player) for player in players],
        }


_MAKERS: Final[dict[str, tuple[Callable[[random.Random], Iterator[Any]], int]]] = {
    "ticks": (_ticks, 400),
    "chat": (_chat, 300),
    "telemetry": (_telemetry, 300),
    "football": (_football, 60),
}

#: The names of the feeds.
FEEDS: Final = tuple(_MAKERS)


def make_feed(name: str, count: int | None = None, seed: int = _SEED) -> list[Message]:
    """Make a feed from a seed.

    Parameters
    ----------
    name : str
        One of `FEEDS`.
    count : int, optional
        Number of messages. None: as many as are stored in ``data/feeds/``.
    seed : int
        Seed; the same seed generates the same messages.

    Returns
    -------
    list of Message
        Messages whose type is the feed's name, as a server delivers them to a room of that name.

    Raises
    ------
    ValueError
        For an unknown name.

    Examples
    --------
    >>> sorted(make_feed("chat", 1)[0].payload)
    ['text', 'time', 'user']
    """
    if name not in _MAKERS:
        raise ValueError(f"expected one of {', '.join(FEEDS)}, got {name!r}")
    make, usual = _MAKERS[name]
    return _messages(name, islice(make(random.Random(f"{name} {seed}")), usual if count is None else count))


def load_feed(name: str) -> list[Message]:
    """Read a feed from ``data/feeds/``.

    Parameters
    ----------
    name : str
        One of `FEEDS`.

    Returns
    -------
    list of Message
        The same messages as ``make_feed(name)``.

    Raises
    ------
    ValueError
        For an unknown name.
    """
    if name not in _MAKERS:
        raise ValueError(f"expected one of {', '.join(FEEDS)}, got {name!r}")
    lines = data_path(f"feeds/{name}.jsonl").read_bytes().splitlines()
    return _messages(name, map(msgspec.json.decode, lines))


def _messages(name: str, payloads: Iterator[Any]) -> list[Message]:
    return [
        Message(name, payload, room_id=name, offset=n, epoch="lab-epoch")
        for n, payload in enumerate(payloads, start=1)
    ]


def _lines(messages: list[Message]) -> bytes:
    return b"".join(msgspec.json.encode(message.payload) + b"\n" for message in messages)


def main(arguments: list[str] | None = None) -> int:
    """Write all feeds into a folder, one payload per line."""
    parser = argparse.ArgumentParser(
        prog="python -m rtlab.experiments.throughput.payload_feeds", allow_abbrev=False
    )
    parser.add_argument("--save", type=Path, default=Path("data/feeds"), help="the folder")
    folder: Path = parser.parse_args(arguments).save
    folder.mkdir(parents=True, exist_ok=True)
    for name in FEEDS:
        (folder / f"{name}.jsonl").write_bytes(_lines(make_feed(name)))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
