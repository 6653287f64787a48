"""MessageQueue: what it took is delivered, through restarts, limits, dead letters and damaged files."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from rtlab.errors import InvalidState, MessageError, MessageTooLarge, NotConnected, QueueError, QueueFull
from rtlab.patterns import group_commit
from rtlab.patterns.offline_message_queue import MessageQueue
from rtlab.patterns.queue_sqlite_file import Change, QueueFile, StoredMessage
from rtlab.protocol.payload_schemas import Schemas
from tests.memory import turns, until
from tests.patterns.numbering_server import Server


@pytest.fixture
def server():
    return Server()


async def test_what_waits_survives_the_queue_and_is_removed_when_it_is_answered(server, tmp_path):
    path = tmp_path / "q.sqlite"
    async with MessageQueue(server.connection(), path) as queue:
        for n in range(5):
            receipt = await queue.send("chat", n, room_id="r")
        assert (queue.stats.depth, queue.stats.in_flight) == (5, 0)
    with pytest.raises(NotConnected, match="its file keeps"):
        await receipt.acked(1)
    conn = server.connection()
    async with MessageQueue(conn, path) as queue, conn:
        assert conn.client_id
        await queue.flush(5)
        assert (len(queue), queue.stats.sent) == (0, 5)
    assert server.handled == list(range(5))
    async with MessageQueue(server.connection(), path) as queue:
        assert len(queue) == 0
    # The numbers go on, and the file knows its client and its incarnation.
    conn = server.connection()
    async with MessageQueue(conn, path) as queue, conn:
        await (await queue.send("chat", 5, room_id="r")).acked(5)
    assert [opening["base"] for opening in server.openings] == [1, 6]
    assert [opening["after"] for opening in server.openings] == [0, 1]
    assert server.openings[0]["stream"] == server.openings[1]["stream"]


async def test_a_message_is_not_removed_before_its_answer(server, tmp_path):
    path = tmp_path / "q.sqlite"
    server.silent = True
    conn = server.connection()
    async with MessageQueue(conn, path) as queue, conn:
        await queue.send("chat", 1, room_id="r")
        await until(lambda: queue.stats.in_flight)
    server.silent = False
    conn = server.connection()
    async with MessageQueue(conn, path) as queue, conn:
        await queue.flush(5)
    assert server.handled == [1]


async def test_a_room_that_the_application_left_is_entered_again_for_the_next_message(server):
    server.refuse = lambda item: None if item["roomId"] in server.rooms else "not_joined"
    conn = server.connection()
    async with asyncio.timeout(20), MessageQueue(conn) as queue, conn:
        for n in range(2):
            await (await queue.send("chat", n, room_id="r")).acked()
            await conn.leave_room("r")
        # A room that is followed is not joined for each message.
        joins = [message for message in conn._runner.transport.sent if message.type == "join_room"]
        assert len(joins) == 2
        for n in range(2, 4):
            await (await queue.send("chat", n, room_id="r")).acked()
        joins = [message for message in conn._runner.transport.sent if message.type == "join_room"]
        assert len(joins) == 3
    assert server.handled == [0, 1, 2, 3]


async def test_a_room_that_did_not_take_the_client_back_is_asked_again_for_the_next_message(server):
    server.refuse = lambda item: None if item["roomId"] in server.rooms else "not_joined"
    conn = server.connection()
    async with asyncio.timeout(20), MessageQueue(conn) as queue, conn:
        await (await queue.send("chat", 1, room_id="r")).acked()
        server.admits = lambda room_id: False
        server.rooms.clear()
        refused = asyncio.Event()
        conn.on("resync", lambda event: event.room_id == "r" and refused.set())
        conn._runner.transport.drop()
        await refused.wait()
        server.admits = lambda room_id: True
        await (await queue.send("chat", 2, room_id="r")).acked()
    assert server.handled == [1, 2]


async def test_one_that_is_refused_is_a_dead_letter_and_holds_nobody_up(server):
    server.refuse = lambda item: "not_joined" if item["payload"] == "bad" else None
    conn = server.connection()
    async with MessageQueue(conn) as queue, conn:
        receipts = [await queue.send("chat", what, room_id="r") for what in ("a", "bad", "b")]
        await queue.flush(5)
        assert [receipt.outcome for receipt in receipts] == ["handled", "refused", "handled"]
        (dead,) = await queue.dead_letters()
        assert (dead.payload, dead.retry_count, dead.error) == ("bad", 1, "not_joined: not_joined")
        server.refuse = lambda item: None
        assert await queue.retry("no such id") == 0
        assert await queue.retry(dead.id) == 1
        await queue.flush(5)
        assert await queue.dead_letters() == []
    assert server.handled == ["a", "b", "bad"]


async def test_a_retry_goes_on_when_nobody_waits_and_stays_dead_when_it_cannot_be_written(
    server,
):
    server.refuse = lambda item: "not_joined" if item["payload"] == "bad" else None
    conn = server.connection()
    async with MessageQueue(conn) as queue, conn:
        await queue.send("chat", "bad", room_id="r")
        await queue.flush(5)
        server.refuse = lambda item: None
        apply, queue._worker.file.apply = queue._worker.file.apply, full_disk
        with pytest.raises(QueueError, match="full"):
            await queue.retry()
        assert len(queue) == 0
        assert len(await queue.dead_letters()) == 1
        queue._worker.file.apply = apply
        waiting = asyncio.create_task(queue.retry())
        await until(lambda: len(queue) == 1)
        waiting.cancel()
        await queue.flush(5)
    assert server.handled == ["bad"]


def full_disk(changes):
    raise QueueError("the disk is full")


async def test_retries_that_overlap_queue_a_dead_letter_once(server, tmp_path):
    """As after a double click, or beside the retry of one message."""
    path = tmp_path / "q.sqlite"
    server.refuse = lambda item: "not_joined" if item["payload"] == "bad" else None
    conn = server.connection()
    async with MessageQueue(conn, path) as queue, conn:
        receipt = await queue.send("chat", "bad", room_id="r")
        await queue.flush(5)
        server.refuse = lambda item: None
        counts = await asyncio.gather(queue.retry(), queue.retry(), queue.retry(receipt.message.id))
        await queue.flush(5)
    assert sorted(counts) == [0, 0, 1]
    assert server.handled == ["bad"]
    async with MessageQueue(server.connection(), path) as queue:
        assert (queue.damage, len(queue)) == (None, 0)


async def test_a_retry_passes_over_what_a_cancelled_one_has_still_to_write(server):
    server.refuse = lambda item: "not_joined" if item["payload"] == "bad" else None
    conn = server.connection()
    async with asyncio.timeout(20), MessageQueue(conn) as queue, conn:
        await queue.send("chat", "bad", room_id="r")
        await queue.flush(5)
        server.refuse = lambda item: None
        file = queue._worker.file
        loads, writes = hold(file, "load"), hold(file, "apply")
        first = asyncio.create_task(queue.retry())
        await turns()
        sending = asyncio.create_task(queue.send("chat", "good", room_id="r"))
        await turns()
        loads.set()
        await until(lambda: len(queue) == 2)  # the copy waits until "good" is written
        first.cancel()
        second = asyncio.create_task(queue.retry())
        await turns()
        writes.set()
        assert await second == 0
        await sending
        await queue.flush(5)
        assert await queue.dead_letters() == []
    assert server.handled == ["good", "bad"]


def hold(file, name):
    """Let a method of a queue's file wait for the returned event, in the file's thread."""
    go_on, method = threading.Event(), getattr(file, name)

    def held(*args, **kwargs):
        go_on.wait(10)
        return method(*args, **kwargs)

    setattr(file, name, held)
    return go_on


def test_a_change_that_comes_twice_is_counted_once(tmp_path):
    """The file's count of rows would not match them, and the next opening would set it aside."""
    path, row = tmp_path / "q.sqlite", StoredMessage(1, b"{}", 1.0)
    file = QueueFile(path)
    file.queue("q", "ada")
    file.apply([Change("q", add=(row,))])
    for _ in range(2):
        file.apply([Change("q", remove=(1,))])
    file.apply([Change("q", rewrite=(row,))])  # the row is gone: a rewrite does not bring it back
    file.close()
    file = QueueFile(path)
    assert (file.damage, file.waiting("q")) == (None, [])
    file.close()


async def test_a_change_whose_mark_cannot_be_written_is_on_disk_all_the_same(server, tmp_path, caplog):
    path = tmp_path / "q.sqlite"

    def no_space():
        raise OSError(28, "No space left on device")

    async with MessageQueue(server.connection(), path) as queue:
        await queue.send("chat", 1)
        queue._worker.file._write_mark = no_space
        await queue.send("chat", 2)
        assert len(queue) == 2
    assert "q.sqlite.mark cannot be written" in caplog.text
    async with MessageQueue(server.connection(), path) as queue:
        assert (queue.damage, len(queue)) == (None, 2)


async def test_a_mark_that_was_made_and_never_written_damages_nothing(server, tmp_path):
    """Its process was killed in between, or the disk was full."""
    path = tmp_path / "q.sqlite"
    async with MessageQueue(server.connection(), path) as queue:
        await queue.send("chat", 1)
    (tmp_path / "q.sqlite.mark").write_bytes(b"")
    async with MessageQueue(server.connection(), path) as queue:
        assert (queue.damage, len(queue)) == (None, 1)


async def test_other_code_that_cancels_all_tasks_does_not_stop_the_queue(server, tmp_path):
    """Whenever it does: a change has no task of its own, which could be cancelled."""
    conn = server.connection()
    async with asyncio.timeout(20), MessageQueue(conn, tmp_path / "q.sqlite") as queue:
        sends = []
        for turn in range(10):
            send = asyncio.create_task(queue.send("chat", turn, room_id="r"))
            sends.append(send)
            await turns(turn)
            for task in asyncio.all_tasks() - {asyncio.current_task(), *sends}:
                task.cancel()
        await asyncio.gather(*sends)
        assert len(queue) == 10
        async with conn:
            await queue.flush(5)
    assert server.handled == list(range(10))


async def test_a_close_that_is_cancelled_releases_the_file_and_can_be_awaited_again(server, tmp_path):
    queue = MessageQueue(server.connection(), tmp_path / "q.sqlite")
    async with asyncio.timeout(20):
        await queue.open()
        go_on = hold(queue._worker.file, "apply")
        sending = asyncio.create_task(queue.send("chat", 1))
        await turns()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await queue.close()
        assert not queue.is_open
        closing, opening = asyncio.create_task(queue.close()), asyncio.create_task(queue.open())
        await turns()
        assert not closing.done()
        go_on.set()
        await asyncio.gather(sending, closing, opening)
        assert (queue.damage, len(queue)) == (None, 1)
        await queue.close()
    QueueFile(tmp_path / "q.sqlite").close()  # it is not locked


async def test_of_two_closes_at_once_neither_returns_while_the_file_is_open(server, tmp_path):
    queue = MessageQueue(server.connection(), tmp_path / "q.sqlite")
    async with asyncio.timeout(20):
        await queue.open()
        go_on = hold(queue._worker.file, "apply")
        sending = asyncio.create_task(queue.send("chat", 1))
        await turns()
        closing = [asyncio.create_task(queue.close()) for _ in range(2)]
        await turns()
        assert [one.done() for one in closing] == [False, False]
        go_on.set()
        await closing[1]
        QueueFile(tmp_path / "q.sqlite").close()
        await asyncio.gather(sending, *closing)


async def test_other_code_that_cancels_all_tasks_in_a_close_loses_neither_the_file_nor_a_change(
    server, tmp_path
):
    queue = MessageQueue(server.connection(), tmp_path / "q.sqlite")
    async with asyncio.timeout(20):
        await queue.open()
        go_on = hold(queue._worker.file, "apply")
        sends = []
        for n in range(2):  # the second waits until the first is written
            sends.append(asyncio.create_task(queue.send("chat", n)))
            await turns()
        closing = asyncio.create_task(queue.close())
        await turns()
        for task in asyncio.all_tasks() - {asyncio.current_task(), *sends}:
            task.cancel()
        await turns()
        go_on.set()
        await asyncio.gather(closing, return_exceptions=True)
        await asyncio.gather(*sends)
        async with queue:
            assert (queue.damage, len(queue)) == (None, 2)


async def test_an_open_that_is_cancelled_releases_the_file(server, tmp_path, monkeypatch):
    go_on, files = threading.Event(), []

    def slow(*args):
        go_on.wait(10)
        files.append(QueueFile(*args))
        return files[-1]

    queue = MessageQueue(server.connection(), tmp_path / "q.sqlite")
    with monkeypatch.context() as patched:
        patched.setattr(group_commit, "QueueFile", slow)
        opening = asyncio.create_task(queue.open())
        await turns()
        opening.cancel()
        await turns()
        go_on.set()
        with pytest.raises(asyncio.CancelledError):
            await opening
        await until(lambda: files)
    async with asyncio.timeout(10), queue:
        assert queue.damage is None


async def test_a_send_that_is_cancelled_is_in_the_queue_or_not_as_the_disk_says(server):
    conn = server.connection()
    async with asyncio.timeout(20), MessageQueue(conn) as queue:
        for apply, left in ((full_disk, 0), (queue._worker.file.apply, 1)):
            queue._worker.file.apply = apply
            send = asyncio.create_task(queue.send("chat", "hi", room_id="r"))
            await turns(1)
            send.cancel()
            await asyncio.gather(send, return_exceptions=True)
            await queue._worker.idle()
            assert len(queue) == left
        async with conn:
            await queue.flush(5)
    assert server.handled == ["hi"]


@pytest.mark.parametrize("error", [KeyboardInterrupt, GeneratorExit, MemoryError])
async def test_whatever_ends_a_write_who_waits_for_it_is_told(server, error):
    def broken(changes):
        raise error

    async with asyncio.timeout(20), MessageQueue(server.connection()) as queue:
        apply, queue._worker.file.apply = queue._worker.file.apply, broken
        with pytest.raises(QueueError, match=error.__name__):
            await queue.send("chat", 1, room_id="r")
        queue._worker.file.apply = apply
        await queue.send("chat", 2, room_id="r")
        assert len(queue) == 1


async def test_a_queue_that_is_opened_again_counts_no_message_twice(server, tmp_path):
    queue = MessageQueue(server.connection(), tmp_path / "q.sqlite")
    async with queue:
        await queue.send("chat", 1)
        before = queue.stats
    async with queue:
        assert queue.stats.size_bytes == before.size_bytes
        assert queue.stats.depth == before.depth == 1


async def test_who_waits_for_a_queue_to_be_empty_is_told_that_it_was_closed(server):
    queue = MessageQueue(server.connection())
    await queue.open()
    await queue.send("chat", 1)
    waiting = asyncio.create_task(queue.flush())
    await turns()
    await queue.close()
    async with asyncio.timeout(10):
        with pytest.raises(InvalidState, match="a closed one"):
            await waiting


async def test_one_that_is_always_to_be_tried_again_is_given_up(server):
    server.item_ = server.item
    poison = {"ok": False, "error": {"code": "not_published", "message": "no", "retryAfter": 0.001}}
    server.item = lambda item: poison if item.get("payload") == "bad" else server.item_(item)
    conn = server.connection()
    async with MessageQueue(conn, max_retries=2) as queue, conn:
        for what in ("a", "bad", "b"):
            await queue.send("chat", what, room_id="r")
        await queue.flush(5)
        assert [letter.payload for letter in await queue.dead_letters()] == ["bad"]
    assert server.handled == ["a", "b"]  # the opening told that number 2 does not come any more


async def test_a_message_that_cannot_be_decoded_is_a_dead_letter_beside_the_others(server):
    server.item_ = server.item
    refusal = {"ok": False, "error": {"code": "not_joined", "message": "no"}}
    server.item = lambda item: refusal if item.get("payload") == "bad" else server.item_(item)
    conn = server.connection()
    async with MessageQueue(conn) as queue, conn:
        await queue._accept(StoredMessage(queue._next, b"{damaged \xff", 1.0))
        queue._next += 1
        receipt = await queue.send("chat", "bad", room_id="r")
        await queue.flush(5)
        first, second = await queue.dead_letters()
        assert (first.id, first.type, first.payload) == ("", "", "{damaged \ufffd")
        assert "not JSON" in first.error
        assert second.id == receipt.message.id
        for which, count in ((second.id, 1), ("", 1), (None, 2)):
            assert await queue.retry(which) == count
            await queue.flush(5)
            assert len(await queue.dead_letters()) == 2


async def test_a_queue_that_is_opened_again_beside_another_has_what_its_file_has_now(server, tmp_path):
    path = tmp_path / "q.sqlite"
    async with MessageQueue(server.connection(), path, name="a") as queue:
        await queue.send("chat", "old")
    async with MessageQueue(Server().connection(), path, name="b"):  # the file stays open
        conn = server.connection()
        async with MessageQueue(conn, path, name="a") as queue, conn:
            await queue.flush(5)
            await conn.close()
            for what in ("new", "newer"):
                await queue.send("chat", what)
        async with MessageQueue(server.connection(), path, name="a") as queue:
            assert [message.payload for message in await queue.messages()] == ["new", "newer"]
            assert len(queue) == 2


async def test_a_full_queue_does_what_its_policy_says(server):
    async with MessageQueue(server.connection(), max_messages=2) as queue:
        for n in range(2):
            await queue.send("chat", n)
        with pytest.raises(QueueFull, match="holds 2 messages"):
            await queue.send("chat", 2)
    async with MessageQueue(server.connection(), max_messages=2, overflow="drop_newest") as queue:
        receipts = [await queue.send("chat", n) for n in range(3)]
        assert [message.payload for message in await queue.messages()] == [0, 1]
        with pytest.raises(QueueFull, match="this message was dropped"):
            await receipts[2].acked(1)
    conn = server.connection()
    async with MessageQueue(conn, max_bytes=200, overflow="drop_oldest") as queue:
        receipts = [await queue.send("chat", n, room_id="r") for n in range(5)]
        waiting = [message.payload for message in await queue.messages()]
        assert waiting == list(range(5 - len(waiting), 5))
        assert queue.stats.dropped == 5 - len(waiting) > 0
        with pytest.raises(QueueFull, match="for a newer one"):
            await receipts[0].acked(1)
        async with conn:
            await queue.flush(5)
    assert server.handled == waiting


async def test_what_is_too_old_becomes_a_dead_letter_also_when_the_clock_jumps(server):
    now = [1000.0]
    conn = server.connection()
    async with MessageQueue(conn, max_age=60, clock=lambda: now[0]) as queue:
        await queue.send("chat", "old", room_id="r")
        now[0] += 100
        await queue.send("chat", "new", room_id="r")
        now[0] -= 10_000
        assert queue.stats.oldest_age == 0
        now[0] += 10_000
        async with conn:
            await queue.flush(5)
            (dead,) = await queue.dead_letters()
    assert (dead.payload, server.handled) == ("old", ["new"])
    assert "longer than 60 s" in dead.error


async def test_what_was_sent_is_neither_dropped_nor_too_old_also_while_it_waits_to_be_sent_again(
    server, tmp_path
):
    """The server may have handled it: only its result tells, so it goes again under its number."""
    path, now = tmp_path / "q.sqlite", [1000.0]
    busy = {"ok": False, "error": {"code": "rate_limited", "message": "later", "retryAfter": 3600}}
    server.item_, refused = server.item, []

    def item(item):
        if item.get("payload") != "sent":
            return server.item_(item)
        refused.append(item)
        return busy

    server.item = item
    conn = server.connection()
    options = {"max_messages": 3, "max_age": 60, "overflow": "drop_oldest", "clock": lambda: now[0]}
    async with MessageQueue(conn, path, **options) as queue, conn:
        receipts = [await queue.send("chat", "sent", room_id="r")]
        await until(lambda: refused and not queue.stats.in_flight)  # it waits to be sent again
        receipts += [await queue.send("chat", what, room_id="r") for what in ("a", "b", "c")]
        assert [one.payload for one in await queue.messages()] == ["sent", "b", "c"]
        assert [one.outcome for one in receipts] == ["waiting", "refused", "waiting", "waiting"]
        now[0] += 100
        conn._runner.transport.drop()
        await until(lambda: len(queue) == 1)
        await queue._worker.idle()
        assert [letter.payload for letter in await queue.dead_letters()] == ["b", "c"]
        assert receipts[0].outcome == "waiting"
    server.item = server.item_
    conn = server.connection()
    async with MessageQueue(conn, path) as queue, conn:
        await queue.flush(5)
    assert server.handled == ["sent"]


async def test_if_all_were_sent_the_new_message_is_dropped(server):
    server.silent = True
    conn = server.connection()
    async with MessageQueue(conn, max_messages=1, overflow="drop_oldest") as queue, conn:
        sent = await queue.send("chat", "sent", room_id="r")
        await until(lambda: queue.stats.in_flight)
        new = await queue.send("chat", "new", room_id="r")
        assert (sent.outcome, new.outcome, queue.stats.dropped) == ("waiting", "refused", 1)


async def test_a_dead_letter_from_the_file_does_not_claim_that_it_was_never_sent(server, tmp_path):
    path, now = tmp_path / "q.sqlite", [1000.0]
    server.silent = True
    conn = server.connection()
    async with MessageQueue(conn, path, clock=lambda: now[0]) as queue, conn:
        await queue.send("chat", "sent", room_id="r")
        await until(lambda: queue.stats.in_flight)
    now[0] += 100
    server.silent = False
    conn = server.connection()
    async with MessageQueue(conn, path, max_age=60, clock=lambda: now[0]) as queue, conn:
        await queue.flush(5)
        (dead,) = await queue.dead_letters()
    assert "may have been sent before the queue was opened" in dead.error


async def test_several_queues_share_a_file_and_one_is_opened_once(server, tmp_path):
    path = tmp_path / "q.sqlite"
    conn = server.connection()
    async with MessageQueue(conn, path, name="a") as first, MessageQueue(conn, path, name="b") as second:
        await asyncio.gather(*(queue.send("chat", n) for n in range(5) for queue in (first, second)))
        assert (len(first), len(second)) == (5, 5)
        with pytest.raises(InvalidState, match="'a' open"):
            await MessageQueue(conn, path, name="a").open()
        with pytest.raises(InvalidState, match="durability"):
            await MessageQueue(conn, path, name="c", durability="normal").open()
    async with MessageQueue(server.connection(), path, name="b") as second:
        assert len(second) == 5


async def test_another_process_is_told_that_the_file_is_open(server, tmp_path):
    path = tmp_path / "q.sqlite"
    async with MessageQueue(server.connection(), path) as queue:
        await queue.send("chat", 1)
        code = (
            "import sys; from rtlab.patterns.queue_sqlite_file import QueueError, QueueFile\n"
            "try: QueueFile(sys.argv[1])\nexcept QueueError as error: print(error)"
        )
        said = await asyncio.to_thread(
            subprocess.run,
            [sys.executable, "-c", code, str(path)],
            capture_output=True,
            text=True,
            timeout=60,
        )
    assert "is open in another process" in said.stdout


async def test_a_connection_that_has_another_name_already_is_refused(server, tmp_path):
    path = tmp_path / "q.sqlite"
    async with MessageQueue(server.connection(client_id="ada"), path) as queue:
        await queue.send("chat", 1)
    conn = server.connection()
    async with conn:
        with pytest.raises(InvalidState, match="client_id="):
            await MessageQueue(conn, path).open()
    conn = server.connection()
    async with MessageQueue(conn, path):
        assert conn.client_id == "ada"


@pytest.mark.parametrize(
    ("options", "level"), [({}, 2), ({"durability": "full"}, 2), ({"durability": "normal"}, 1)]
)
async def test_durability_is_what_sqlite_is_asked_for(server, tmp_path, options, level):
    """2 is FULL, which syncs each commit; 1 is NORMAL, of which a power cut may take the newest."""
    async with MessageQueue(server.connection(), tmp_path / "q.sqlite", **options) as queue:
        database = queue._worker.file._db
        told = [database.execute(f"PRAGMA {name}").fetchone()[0] for name in ("journal_mode", "synchronous")]
    assert told == ["wal", level]


async def test_a_folder_that_cannot_be_written_and_a_disk_that_is_full(server, tmp_path):
    with pytest.raises(QueueError, match="does its folder exist"):
        await MessageQueue(server.connection(), tmp_path / "no" / "q.sqlite").open()
    async with MessageQueue(server.connection(), tmp_path / "q.sqlite") as queue:
        await queue.send("chat", "before")
        database = queue._worker.file._db
        pages = database.execute("PRAGMA page_count").fetchone()[0]
        database.execute(f"PRAGMA max_page_count={pages}")
        with pytest.raises(QueueError, match=r"the disk of .* is full"):
            await queue.send("chat", "x" * 50_000)
        assert len(queue) == 1
        database.execute("PRAGMA max_page_count=1000000")
        await queue.send("chat", "after")
        assert [message.payload for message in await queue.messages()] == ["before", "after"]


async def test_what_nobody_could_take_is_refused_before_it_is_written(server):
    conn = server.connection(schemas=Schemas({("note", 1): {"type": "string"}}))
    async with MessageQueue(conn) as queue, conn:
        for payload in (float("nan"), {1: 2}, b"bytes"):
            with pytest.raises(MessageError):
                await queue.send("chat", payload)
        with pytest.raises(MessageError, match="note: payload"):
            await queue.send("note", 5)
        with pytest.raises(MessageTooLarge):
            await queue.send("chat", "x" * 100_001)
        with pytest.raises(MessageError, match="for the server itself"):
            await queue.send("join_room", {"roomId": "r"})
        assert len(queue) == 0
    with pytest.raises(InvalidState, match="closed one"):
        await queue.send("chat", 1)
    for bad in ({"overflow": "drop"}, {"durability": "some"}, {"max_messages": 0}, {"max_age": 0}):
        with pytest.raises(ValueError, match="expected"):
            MessageQueue(conn, **bad)


async def test_a_newer_copy_of_the_file_ends_this_one_and_nothing_is_removed(server, tmp_path):
    server.item = lambda item: {"ok": False, "error": {"code": "fenced", "message": "another process"}}
    conn = server.connection()
    path = tmp_path / "q.sqlite"
    async with MessageQueue(conn, path) as queue, conn:
        receipt = await queue.send("chat", 1, room_id="r")
        with pytest.raises(Exception, match="another process"):
            await receipt.acked(5)
        with pytest.raises(Exception, match="another process"):
            await queue.flush(5)
    async with MessageQueue(server.connection(), path) as queue:
        assert len(queue) == 1


def cut(path: Path, kind: str) -> None:
    if kind == "mark":
        (path.parent / f"{path.name}.mark").write_bytes(b"\0" * 12)
    elif kind == "head":
        path.write_bytes(b"no database" + path.read_bytes()[11:])
    elif kind == "row":
        data = path.read_bytes()
        assert b"payload-7" in data
        path.write_bytes(data.replace(b"payload-7", b"payload-8"))
    elif kind == "empty":
        path.write_bytes(b"")
    elif kind == "half":
        os.truncate(path, path.stat().st_size // 2)
    else:  # an older copy: as SQLite leaves the file when the end of its log is damaged
        database = sqlite3.connect(path)
        database.execute("DELETE FROM messages WHERE seq > 5")
        database.execute("UPDATE meta SET commits = commits - 1")
        database.commit()
        database.close()


@pytest.mark.parametrize("kind", ["head", "row", "empty", "half", "old", "mark"])
async def test_a_damaged_file_is_set_aside_and_reported_and_not_overwritten(server, tmp_path, kind, caplog):
    path = tmp_path / "q.sqlite"
    async with MessageQueue(server.connection(), path) as queue:
        await asyncio.gather(*(queue.send("chat", f"payload-{n}") for n in range(200)))
    cut(path, kind)
    damaged = path.read_bytes()
    async with MessageQueue(server.connection(), path) as queue:
        assert queue.damage is not None
        assert queue.damage.kept_as.read_bytes() == damaged
        assert len(queue) == 0
        await queue.send("chat", 1)
    assert "is kept as" in caplog.text
    async with MessageQueue(server.connection(), path) as queue:
        assert queue.damage is None
        assert len(queue) == 1
    await turns()


def test_a_queue_may_be_carried_to_a_second_loop(server):
    """It was open, a caller waited for it to be empty, and several frames waited for their room."""
    server.join_delay = 0.05
    conn = server.connection()
    queue = MessageQueue(conn)
    receipts = []

    async def send(room_id):
        receipts.extend([await queue.send("chat", n, room_id=room_id) for n in range(200)])
        await conn.connect()

    async def first():
        server.silent = True
        await queue.open()
        await send("r")
        with pytest.raises(TimeoutError):
            await queue.flush(0.01)
        with pytest.raises(TimeoutError):
            await receipts[0].acked(0.01)

    async def second():
        server.silent = False
        async with asyncio.timeout(30):
            answer = asyncio.ensure_future(receipts[0].acked())
            await send("s")
            assert (await answer)["ok"]
            await queue.flush()
            await queue.close()
            await conn.close()

    asyncio.run(first())
    asyncio.run(second())
    assert server.handled == [*range(200)] * 2
    assert {receipt.outcome for receipt in receipts} == {"handled"}
    sent = [item["seq"] for frame in server.frames for item in frame if "seq" in item]
    assert sent == [*range(1, 401)]  # no frame failed unseen and was sent again because of the gap
