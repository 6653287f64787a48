"""kill -9 in mid-flush: what was promised is delivered once by the next process; a damaged copy says so."""

# pyright: reportPrivateUsage=false

from __future__ import annotations

import asyncio
import random
from pathlib import Path
from typing import Any

import pytest

from rtlab.bench import kill_9_in_mid_flush
from rtlab.bench.kill_9_in_mid_flush import kill_in_mid_flush
from rtlab.client.reconnecting_clients.websocket_connection import WebSocketConnection
from rtlab.lab.lab import Lab
from rtlab.patterns import queue_sqlite_file
from rtlab.patterns.offline_message_queue import MessageQueue
from rtlab.protocol.message_format import Message

KILLS = 5


async def test_nothing_is_lost_or_doubled_when_the_client_is_killed_five_times(tmp_path: Path):
    async with asyncio.timeout(120), Lab() as lab:
        found = await kill_in_mid_flush(lab.ws_url, tmp_path, KILLS, seed=5)
    account = found.account
    assert (account.lost, account.duplicates, account.reordered, account.phantoms) == (0, 0, 0, 0)
    assert account.ok == found.promised > KILLS * kill_9_in_mid_flush.COUNT // 10
    assert (found.copies, found.silent) == (2, 0)


async def test_messages_that_never_arrive_are_counted_and_unpromised_ones_do_not_stand_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    lost: list[int] = []

    class Deaf(WebSocketConnection):
        """Never hears the first messages, which are promised: the client is killed after more."""

        def on(self, type: str, handler: Any) -> Any:  # type: ignore[override]
            def heard(message: Message) -> None:
                if len(lost) < 30:
                    lost.append(message.payload)
                if message.payload not in lost:
                    handler(message)

            return super().on(type, heard)

    monkeypatch.setattr(kill_9_in_mid_flush, "WebSocketConnection", Deaf)
    monkeypatch.setattr(kill_9_in_mid_flush, "ARRIVAL", 0.2)
    async with asyncio.timeout(120), Lab() as lab:
        found = await kill_in_mid_flush(lab.ws_url, tmp_path, 1, seed=5)
    assert (found.kills, found.account.lost, len(lost)) == (1, 30, 30)


def no_checksum(*_: object) -> int:
    return 0


@pytest.mark.parametrize("checksums", [True, False])
async def test_a_copy_is_reported_and_without_checksums_the_loss_is_seen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, checksums: bool
):
    if not checksums:
        monkeypatch.setattr(queue_sqlite_file, "_row_crc", no_checksum)
    path, needed = tmp_path / "q.sqlite", {1_048, 1_049}
    async with MessageQueue(WebSocketConnection("ws://127.0.0.1:1/ws"), path) as queue:
        for n in needed:
            await queue.send("stamped", n, room_id="killed")

    def change_a_digit(part: Path, rng: random.Random) -> None:
        database = part.with_name(path.name)
        database.write_bytes(database.read_bytes().replace(b"1049", b"1041"))

    lost = await kill_9_in_mid_flush._open_damaged(path, change_a_digit, random.Random(1), needed)
    assert lost == (None if checksums else 1)
