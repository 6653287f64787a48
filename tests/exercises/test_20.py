from __future__ import annotations

import asyncio

import numpy as np
import pytest

from rtlab.policies.backoff import Constant
from rtlab.testing.fake_clock import FakeClock
from rtlab.testing.mock.mock_script_steps import PeerScript
from rtlab.testing.mock.scripted_peer import ScriptedPeer
from rtlab.testing.mock.transport_on_mock_websocket import mock_connection
from tests.notebook_exercises import run

NAME = "20_testing"


async def on_fake_clock(work):
    clock = FakeClock()
    return await asyncio.to_thread(clock.run, work), clock.now


async def test_exercise_1():
    names = await run(NAME, 1, np=np)
    assert names["sleep_ms"] == pytest.approx(206, abs=0.5)
    # The hints: the suite's chance, and about ten times the mean.
    assert 1 - (1 - np.exp(-names["sleep_ms"] / 20)) ** 300 == pytest.approx(0.01)


async def test_exercise_2():
    known = (asyncio, Constant, PeerScript, ScriptedPeer, mock_connection, on_fake_clock)
    names = await run(NAME, 2, **{one.__name__: one for one in known})
    assert (names["tries"], names["seconds"]) == (3, 2.0)
