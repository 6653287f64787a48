"""The contract of a carrier: each check is one law, run over every carrier.

A law about a capability is checked in both directions: where it is declared it holds,
where it is not the check shows that it fails, and that nothing is lost in silence.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest

from rtlab.server.brokers.carrying.carrier_interface import Carried
from rtlab.server.brokers.room_publishing_interface import BrokerFailed
from tests.server.brokers import bench as timing
from tests.server.brokers.bench import CALM, Bench, Listener, numbered, until

Check = Callable[[Bench], Awaitable[None]]
CHECKS: dict[str, Check] = {}
END = b"end"
HARD_NAMES = (".", "a.b", "*", "a.*", ">", "a.>", "a b", "a_b", "_probe", "", "é", "x" * 200, "ü" * 200, "\n")


def law(check: Check) -> Check:
    CHECKS[check.__name__] = check
    return check


async def heard_all(bench: Bench, listener: Listener, subject: str) -> list[bytes]:
    """Return what came before an end mark that is published now."""
    await bench.publish(bench.a, subject, [END])
    await listener.until(lambda: END in listener.bodies)
    return listener.bodies[: listener.bodies.index(END)]


# Publish and subscribe


@law
async def a_message_arrives_as_it_was_published(bench: Bench) -> None:
    subject = bench.subject()
    listener = await bench.listen(bench.b, subject)
    await bench.a.carrier.publish(subject, b"hello", message_id="id-1")
    await bench.a.carrier.publish(subject, b"again")
    await listener.until(lambda: len(listener.heard) == 2)
    assert listener.heard == [Carried(subject, b"hello", "id-1"), Carried(subject, b"again", None)]


@law
async def any_bytes_are_carried(bench: Bench) -> None:
    subject = bench.subject()
    bodies = [b"", bytes(range(256)), b"\0", b"\r\n", "ü".encode() * 1000, b"x" * 60_000]
    listener = await bench.listen(bench.b, subject)
    await bench.publish(bench.a, subject, bodies)
    assert await heard_all(bench, listener, subject) == bodies


@law
async def nothing_is_lost_and_nothing_comes_twice(bench: Bench) -> None:
    subject = bench.subject()
    listener = await bench.listen(bench.b, subject)
    await bench.publish(bench.a, subject, numbered(300))
    assert sorted(await heard_all(bench, listener, subject)) == sorted(numbered(300))


@law
async def one_publishers_order_is_kept(bench: Bench) -> None:
    subject = bench.subject()
    listener = await bench.listen(bench.b, subject)
    await bench.publish(bench.a, subject, numbered(100))
    assert bench.capabilities.ordered
    assert await heard_all(bench, listener, subject) == numbered(100)


@law
async def two_publishers_keep_each_its_order(bench: Bench) -> None:
    subject = bench.subject()
    listener = await bench.listen(bench.a, subject)
    await asyncio.gather(
        bench.publish(bench.a, subject, numbered(50, word="a")),
        bench.publish(bench.b, subject, numbered(50, word="b")),
    )
    heard = await heard_all(bench, listener, subject)
    assert [body for body in heard if body.startswith(b"a")] == numbered(50, word="a")
    assert [body for body in heard if body.startswith(b"b")] == numbered(50, word="b")


@law
async def every_node_hears_the_publisher_too(bench: Bench) -> None:
    subject = bench.subject()
    listeners = [await bench.listen(node, subject) for node in (bench.a, bench.b)]
    await bench.publish(bench.a, subject, numbered(5))
    assert [await heard_all(bench, one, subject) for one in listeners] == [numbered(5)] * 2


@law
async def any_text_is_a_subject_of_its_own(bench: Bench) -> None:
    listeners = {name: await bench.listen(bench.b, name) for name in HARD_NAMES}
    for number, name in enumerate(HARD_NAMES):
        await bench.publish(bench.a, name, numbered(1, number))
    for number, name in enumerate(HARD_NAMES):
        assert await heard_all(bench, listeners[name], name) == numbered(1, number)


@law
async def a_subscription_begins_when_it_was_made(bench: Bench) -> None:
    subject = bench.subject()
    await bench.publish(bench.a, subject, numbered(3))
    listener = await bench.listen(bench.b, subject)
    await bench.publish(bench.a, subject, numbered(3, 3))
    assert await heard_all(bench, listener, subject) == numbered(3, 3)


@law
async def a_closed_subscription_hears_nothing_more(bench: Bench) -> None:
    subject, closed = bench.subject(), Listener()
    subscription = await bench.b.carrier.subscribe(subject, closed.hear)
    listener = await bench.listen(bench.b, subject)
    await bench.publish(bench.a, subject, numbered(1))
    await closed.until(lambda: bool(closed.heard))
    await subscription.close()
    await subscription.close()
    await bench.publish(bench.a, subject, numbered(1, 1))
    assert await heard_all(bench, listener, subject) == numbered(2)
    assert closed.bodies == numbered(1)


@law
async def a_subject_can_be_left_and_joined_again(bench: Bench) -> None:
    subject, first = bench.subject(), Listener()
    await (await bench.b.carrier.subscribe(subject, first.hear)).close()
    await bench.publish(bench.a, subject, numbered(2))
    listener = await bench.listen(bench.b, subject)
    await bench.publish(bench.a, subject, numbered(2, 2))
    assert await heard_all(bench, listener, subject) == numbered(2, 2)
    assert first.heard == []


@law
async def a_handler_that_fails_disturbs_no_other(bench: Bench) -> None:
    subject, loop = bench.subject(), asyncio.get_running_loop()
    told: list[dict[str, object]] = []
    loop.set_exception_handler(lambda _, context: told.append(context))
    try:
        await bench.b.carrier.subscribe(subject, lambda _: 1 / 0)
        listener = await bench.listen(bench.b, subject)
        await bench.publish(bench.a, subject, numbered(2))
        assert await heard_all(bench, listener, subject) == numbered(2)
    finally:
        loop.set_exception_handler(None)
    assert {type(context["exception"]) for context in told} == {ZeroDivisionError}


@law
async def two_labs_do_not_hear_each_other(bench: Bench) -> None:
    subject = bench.subject()
    other = await bench.node(namespace=f"{bench.namespace}.*")
    theirs, ours = await bench.listen(other, subject), await bench.listen(bench.b, subject)
    await bench.publish(other, subject, numbered(1, 7))
    await bench.publish(bench.a, subject, numbered(1))
    assert await heard_all(bench, ours, subject) == numbered(1)
    await theirs.until(lambda: bool(theirs.heard))
    assert theirs.bodies == numbered(1, 7)
    await other.carrier.close()


# Sizes


@law
async def a_message_too_large_is_refused_and_harms_nothing(bench: Bench) -> None:
    subject, limit = bench.subject(), bench.a.link.max_bytes
    listener = await bench.listen(bench.b, subject)
    if limit is None:
        return
    bench.a.link.driver.max_bytes = min(limit, 100_000_000)
    with pytest.raises(BrokerFailed, match=r"the message takes [\d,]+ bytes"):
        bench.a.carrier.publish(subject, bytes(bench.a.link.max_bytes + 1))
    await bench.publish(bench.a, subject, numbered(1))
    assert await heard_all(bench, listener, subject) == numbered(1)


@law
async def a_message_as_large_as_is_said_is_carried(bench: Bench) -> None:
    subject, size = bench.subject(), min(bench.a.link.max_bytes or 1_000_000, 1_000_000)
    listener = await bench.listen(bench.b, subject)
    await bench.publish(bench.a, subject, [bytes(size)])
    assert [len(body) for body in await heard_all(bench, listener, subject)] == [size]


# The link is away


@law
async def others_messages_during_an_outage(bench: Bench) -> None:
    subject = bench.subject()
    listener = await bench.listen(bench.b, subject)
    await bench.publish(bench.a, subject, numbered(2))
    await listener.until(lambda: len(listener.heard) == 2)
    await bench.b.cut()
    await bench.publish(bench.a, subject, numbered(5, 2))
    await bench.b.mend()
    heard = await heard_all(bench, listener, subject)
    if bench.capabilities.delivery == "at_least_once":
        assert list(dict.fromkeys(heard)) == numbered(7)
        assert listener.gaps == []
    else:
        assert heard == numbered(2)
        assert len(listener.gaps) == 1
        assert isinstance(listener.heard[2], str), "the gap is told before the next message"


@law
async def an_outage_before_the_first_message_loses_no_more(bench: Bench) -> None:
    subject = bench.subject()
    await bench.publish(bench.a, subject, numbered(1))
    listener = await bench.listen(bench.b, subject)
    await bench.b.cut()
    await bench.publish(bench.a, subject, numbered(2, 1))
    await bench.b.mend()
    heard = await heard_all(bench, listener, subject)
    kept = bench.capabilities.delivery == "at_least_once"
    assert (heard, len(listener.gaps)) == ((numbered(2, 1), 0) if kept else ([], 1))


@law
async def own_messages_wait_for_the_link_in_their_order(bench: Bench) -> None:
    subject = bench.subject()
    listener = await bench.listen(bench.b, subject)
    await bench.a.cut()
    answers = [bench.a.carrier.publish(subject, body) for body in numbered(20)]
    assert not any(answer.done() for answer in answers)
    await bench.a.mend()
    await asyncio.wait_for(asyncio.gather(*answers), timing.PATIENCE)
    assert await heard_all(bench, listener, subject) == numbered(20)


@law
async def no_more_waits_than_the_limit(bench: Bench) -> None:
    subject = bench.subject()
    node = await bench.node(replace(CALM, waiting_messages=3))
    listener = await bench.listen(bench.b, subject)
    await node.cut()
    answers = [node.carrier.publish(subject, body) for body in numbered(3)]
    with pytest.raises(BrokerFailed, match=r"3 messages .* wait for .* already"):
        node.carrier.publish(subject, b"one more")
    await node.mend()
    await asyncio.wait_for(asyncio.gather(*answers), timing.PATIENCE)
    assert await heard_all(bench, listener, subject) == numbered(3)
    await node.carrier.close()


@law
async def what_waited_too_long_is_not_published_later(bench: Bench) -> None:
    subject = bench.subject()
    node = await bench.node(replace(CALM, wait_timeout=0.05))
    listener = await bench.listen(bench.b, subject)
    await node.cut()
    with pytest.raises(BrokerFailed, match=r"was away for 0\.05 s: not published"):
        await node.carrier.publish(subject, b"too late")
    with pytest.raises(BrokerFailed, match="the link is away"):
        await node.carrier.subscribe(subject, lambda _: None)
    await node.mend()
    await node.carrier.close()
    assert await heard_all(bench, listener, subject) == []


@law
async def the_link_tells_when_it_goes_and_comes(bench: Bench) -> None:
    before = len(bench.b.events)
    await bench.b.cut()
    await bench.b.mend()
    assert [up for up, _ in bench.b.events[before:]] == [False, True]
    assert bench.b.events[before][1] == "cut"


@law
async def a_silent_link_is_found_and_replaced(bench: Bench) -> None:
    subject, interval = bench.subject(), 0.1
    node = await bench.node(replace(CALM, probe_interval=interval))
    listener = await bench.listen(node, subject)
    await bench.publish(bench.a, subject, numbered(1))
    await listener.until(lambda: bool(listener.bodies))
    downs = len(node.events)
    node.link.muted = True
    async with asyncio.timeout(timing.PATIENCE):  # two intervals, but the machine may be starved
        while len(node.events) == downs:
            await asyncio.sleep(interval / 10)
    await until(lambda: node.carrier.up and not node.link.muted)
    async with asyncio.timeout(timing.PATIENCE):  # a broker that is slow for an interval loses this link too
        while END not in listener.bodies:
            await bench.publish(bench.a, subject, [END])
            await asyncio.sleep(interval / 10)
    assert "delivers nothing" in node.events[downs][1]
    await node.carrier.close()


@law
async def a_carrier_closes_while_its_link_is_away(bench: Bench) -> None:
    node = await bench.node()
    await node.cut()
    answer = node.carrier.publish("somewhere", b"lost")
    await asyncio.wait_for(node.carrier.close(), timing.PATIENCE)
    with pytest.raises(BrokerFailed, match="was closed: not published"):
        await answer
    with pytest.raises(BrokerFailed, match="was closed"):
        node.carrier.publish("somewhere", b"later")


@law
async def what_was_acknowledged_arrives_or_a_gap_is_told(bench: Bench) -> None:
    subject, acknowledged = bench.subject(), []
    listener = await bench.listen(bench.b, subject)
    for number in range(30):
        if number in (10, 20):
            await (bench.a if number == 10 else bench.b).cut()
        if number == 15:
            await bench.a.mend()
        try:
            answer = bench.a.carrier.publish(subject, b"%d" % number)
            if bench.a.carrier.up:
                await asyncio.wait_for(answer, timing.PATIENCE)
                acknowledged.append(number)
        except BrokerFailed:
            pass
        if number == 25:
            await bench.b.mend()
    heard = [int(body) for body in await heard_all(bench, listener, subject)]
    if not listener.gaps:
        assert set(acknowledged) <= set(heard)
    assert list(dict.fromkeys(heard)) == sorted(set(heard))
    assert bool(listener.gaps) == (bench.capabilities.delivery == "at_most_once")


# History


@law
async def history_is_the_newest_in_order(bench: Bench) -> None:
    subject = bench.subject()
    await bench.publish(bench.a, subject, numbered(20))
    if not bench.capabilities.replay:
        with pytest.raises(BrokerFailed, match="keeps no history"):
            await bench.b.carrier.history(subject, 5)
        return
    assert [one.body for one in await bench.b.carrier.history(subject, 5)] == numbered(5, 15)
    assert [one.body for one in await bench.b.carrier.history(subject, 100)] == numbered(20)
    assert await bench.b.carrier.history(subject, 0) == []
    assert await bench.b.carrier.history(bench.subject(), 5) == []


@law
async def history_holds_all_that_was_acknowledged_before(bench: Bench) -> None:
    if not bench.capabilities.replay:
        return
    subject = bench.subject()
    for number in range(5):
        await bench.a.carrier.publish(subject, b"%d" % number, message_id=f"{subject} {number}")
        newest = await bench.b.carrier.history(subject, 1)
        assert newest == [Carried(subject, b"%d" % number, f"{subject} {number}")]


# Repeats


@law
async def a_repeated_message_id(bench: Bench) -> None:
    subject = bench.subject()
    listener = await bench.listen(bench.b, subject)
    for node, word in ((bench.a, "one"), (bench.a, "one"), (bench.b, "one"), (bench.a, "two")):
        await node.carrier.publish(subject, word.encode(), message_id=f"{subject} {word}")
    heard = await heard_all(bench, listener, subject)
    assert heard == ([b"one", b"two"] if bench.capabilities.dedupe else [b"one", b"one", b"one", b"two"])


@law
async def messages_without_an_id_are_never_repeats(bench: Bench) -> None:
    subject = bench.subject()
    listener = await bench.listen(bench.b, subject)
    await bench.publish(bench.a, subject, [b"same", b"same"])
    assert await heard_all(bench, listener, subject) == [b"same", b"same"]


@law
async def what_was_under_way_when_the_link_broke(bench: Bench) -> None:
    """Sent and not answered: sent again where repeats are dropped, an honest error elsewhere."""
    subject = bench.subject()
    listener = await bench.listen(bench.b, subject)
    send, link = bench.a.link.driver.send, bench.a.link

    async def send_and_break(batch):
        await send(batch)
        if any(one.body == b"under way" for one in batch):
            link.driver.send = send
            raise OSError("broken after sending")
        return [None] * len(batch)

    link.driver.send = send_and_break
    answer = bench.a.carrier.publish(subject, b"under way", message_id=f"{subject} under way")
    if bench.capabilities.dedupe:
        await asyncio.wait_for(answer, timing.PATIENCE)
    else:
        with pytest.raises(BrokerFailed, match="may have been published all the same"):
            await asyncio.wait_for(answer, timing.PATIENCE)
    await until(lambda: bench.a.carrier.up)
    assert await heard_all(bench, listener, subject) == [b"under way"]
