"""The queue panel: what it counts, dead letters tried again from a browser, a closed queue, nonsense."""

# pyright: reportPrivateUsage=false

from __future__ import annotations

import asyncio
import json
from typing import Any

from rtlab.patterns.offline_message_queue import MessageQueue
from rtlab.widgets.panels.queue_panel import QueuePanel
from tests.patterns.numbering_server import Server

NASTY = "<img src=x onerror=alert(1)>\u202e" + "x" * 5_000


async def press(panel: QueuePanel, **content: Any) -> None:
    panel._from_any_thread(panel, content, [])
    await asyncio.sleep(0)  # the message hops to this loop
    await panel.settled()


async def look(panel: QueuePanel) -> dict[str, Any]:
    await press(panel, action="look")
    return panel.counts


async def test_what_waits_is_counted_and_dead_letters_are_tried_again_one_or_all():
    server = Server()
    server.refuse = lambda item: "not_joined" if str(item["payload"]).startswith("<") else None
    conn = server.connection()
    queue = MessageQueue(conn, max_messages=10)
    panel = QueuePanel(queue)
    assert panel.status.startswith("closed")
    answers: list[Any] = []
    panel.send = lambda content, *_: answers.append(content)  # type: ignore[method-assign]
    async with queue:
        for n in range(3):
            await queue.send("chat", f"{NASTY} {n}", room_id="r")
        await queue.send("chat", "good", room_id="r")
        counts = await look(panel)
        assert (counts["depth"], counts["most"], counts["in_flight"]) == (4, 10, 0)
        assert panel.status == "Disconnected: what is sent now waits here"
        async with conn:
            await queue.flush(10)
            counts = await look(panel)
            assert (counts["depth"], counts["sent"], counts["dead"]) == (0, 1, 3)
            assert panel.status == "3 dead letters: the server did not take them"
            assert all(len(letter["text"]) <= 200 for letter in panel.letters)
            assert panel.letters[0]["error"].startswith("not_joined")
            assert json.dumps(panel.letters, ensure_ascii=False).encode()

            server.refuse = lambda item: None
            await press(panel, action="retry", id=panel.letters[1]["id"])
            assert (panel.status, len(panel.letters)) == ("1 queued again", 2)
            await press(panel, action="retry", id="no such")
            assert panel.status == "it is no dead letter any more"
            await press(panel, action="retry", id=["no text"])
            await press(panel, action="jump")
            await press(panel, action="retry_all")
            assert (panel.status, panel.letters) == ("2 queued again", [])
            await queue.flush(10)
            assert (await look(panel))["sent"] == 4
            assert panel.status == "nothing waits"
    await look(panel)
    assert panel.status.startswith("closed")
    await press(panel, action="retry_all")
    assert panel.status.startswith("that did not work: expected an open queue")
    assert {"kind": "looked"} in answers
    assert [str(payload)[-1] for payload in server.handled] == ["d", "1", "0", "2"]


async def test_letters_are_read_from_the_disk_only_when_there_may_be_others(monkeypatch):
    server = Server()
    conn = server.connection()
    reads: list[int] = []
    letters = MessageQueue.dead_letters

    async def counted(self: MessageQueue, limit: int = 100) -> Any:
        reads.append(limit)
        return await letters(self, limit)

    monkeypatch.setattr(MessageQueue, "dead_letters", counted)
    queue = MessageQueue(conn)
    panel = QueuePanel(queue)
    async with queue, conn:
        for _ in range(3):
            await queue.send("chat", "a")
            await queue.flush(10)
            await panel.look()
        assert len(reads) == 1
        server.refuse = lambda item: "not_joined"
        await queue.send("chat", "b")
        await queue.flush(10)
        await panel.look()
        await panel.look()
        assert (len(reads), len(panel.letters)) == (2, 1)
        server.refuse = lambda item: None
        await queue.retry()  # by code, not by the panel
        await panel.look()
        assert panel.letters == []


async def test_a_closed_queue_says_what_is_kept_a_file_or_nothing(tmp_path):
    said: list[list[str]] = []
    for path in (":memory:", tmp_path / "q.sqlite"):
        queue = MessageQueue(Server().connection(), path)
        panel = QueuePanel(queue)
        said.append([panel.status])
        async with queue:
            await queue.send("note", "remember")
            await look(panel)
        await look(panel)
        said[-1].append(panel.status)
    assert said == [["closed: in memory, nothing is kept"] * 2, ["closed: what waits is in its file"] * 2]


async def test_a_damaged_file_is_said(tmp_path):
    path = tmp_path / "q.sqlite"
    async with MessageQueue(Server().connection(), path) as queue:
        await queue.send("note", "remember 3")
    path.write_bytes(path.read_bytes().replace(b"remember 3", b"remember 4"))
    queue = MessageQueue(Server().connection(), path)
    panel = QueuePanel(queue)
    async with queue:
        await panel.look()
    assert "q.sqlite.damaged-1" in panel.warning
    assert str(tmp_path) not in panel.warning + panel.code
