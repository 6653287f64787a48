"""The toxic that corrupts bytes."""

from __future__ import annotations

import math
import random
from typing import ClassVar

from rtlab.faults.errors import bad_request
from rtlab.faults.toxics.toxic_registry_and_base_classes import Number, Toxic, ToxicStage, works_as

__all__ = ["Corrupt"]


class Corrupt(Toxic):
    """Corrupt each byte with `probability` by flipping one random bit, after the first `skip` bytes.

    Imitates a middlebox with bad memory. A network link does not do this to TCP: checksums
    turn corruption into loss, and TLS turns it into a closed connection.
    Which bytes are corrupted depends on the seed alone.
    """

    required: ClassVar[tuple[str, ...]] = ("probability",)
    probability: Number = 0
    skip: int = 0

    def check(self) -> None:
        super().check()
        if not 0 < self.probability <= 1:
            raise bad_request(f"probability must be above 0 and at most 1, got {self.probability}")


@works_as("corrupt", Corrupt)
class CorruptStage(ToxicStage[Corrupt]):
    _gap: int | None = None
    _passed = 0  # bytes, flipped or not

    def start(self) -> None:
        self._gap = max(0, self.attributes.skip - self._passed) + self._draw()

    changed = start

    def reseed(self, rng: random.Random) -> None:
        super().reseed(rng)
        self.start()

    def _draw(self) -> int:
        """Number of intact bytes before the next corrupted one: geometric, however the data are split."""
        p = self.attributes.probability
        return 0 if p >= 1 else int(math.log(1.0 - self.rng.random()) / math.log1p(-p))

    def feed(self, data: bytes) -> None:
        assert self._gap is not None
        if self._gap < len(data):
            changed = bytearray(data)
            while self._gap < len(changed):
                changed[self._gap] ^= 1 << self.rng.randrange(8)
                self.record_effect("flips bits", 1)
                self._gap += 1 + self._draw()
            data = bytes(changed)
        self._gap -= len(data)
        self._passed += len(data)
        self.next.feed(data)
