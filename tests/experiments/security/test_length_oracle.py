from __future__ import annotations

import asyncio

import pytest

from rtlab.experiments.security.length_oracle import WhatWasRead, read_by_length
from rtlab.lab.lab import Lab


def test_only_what_stands_before_the_first_error_counts() -> None:
    assert WhatWasRead("abdd", 64, {}).right("abcd") == 2
    assert WhatWasRead("abcd", 64, {}).right("abcd") == 4


@pytest.mark.parametrize("secret", ["c0ffee42", "00000000"])
async def test_a_secret_beside_a_draft_is_read_and_one_apart_is_not(secret: str) -> None:
    async with Lab(compression=True) as lab, asyncio.timeout(60):
        read = await read_by_length(lab, secret, "together")
        assert (read.text, read.messages) == (secret, 16 * len(secret))
        assert min(read.first, key=read.first.__getitem__) == secret[0]
        for setting in ("apart", "uncompressed"):
            blind = await read_by_length(lab, secret, setting)
            assert len(set(blind.first.values())) == 1  # every guess is as long as the others
            assert (blind.text, blind.messages, blind.right(secret)) == ("", 16, 0)
