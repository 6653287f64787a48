"""``feed``: starts and stops feeds (open-loop message sources)."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Final

from rtlab.server.handlers.handler_interface import Services, field
from rtlab.server.incoming_message import Answer, Incoming
from rtlab.server.refusal_and_end_reasons import Refused
from rtlab.server.sessions.fixed_schedule_feed import Feed, parse_plan
from rtlab.server.sessions.session_with_replay import Session

__all__ = ["MAX_FEEDS", "MAX_TOTAL_RATE", "feed"]

#: Feeds that one session may run at the same time.
MAX_FEEDS: Final = 4

#: Messages per second of all feeds of a server together.
MAX_TOTAL_RATE: Final = 100_000


def feed(services: Services, incoming: Incoming) -> Answer:
    """Start a feed, or stop the one that ``stop`` names."""
    session, payload = incoming.session, incoming.message.payload
    stop = field(payload, "stop")
    if stop is not None:
        running = session.feeds.pop(stop, None) if isinstance(stop, str) else None
        if running is None:
            raise Refused("unknown_feed", f"no feed {stop!r:.40} of yours is running")
        running.stop()
        return Answer({"feed": stop, "stopped": True})
    try:
        plan = parse_plan(payload)
    except ValueError as error:
        raise Refused("wrong_payload", f"feed: {error}") from None
    if len(session.feeds) >= MAX_FEEDS:
        raise Refused("too_many_feeds", f"{MAX_FEEDS} feeds are running: stop one first")
    total = services.feed_rate + plan.rate
    if total > MAX_TOTAL_RATE:
        text = f"all feeds together would send {total:,.0f} messages per second: at most {MAX_TOTAL_RATE:,}"
        raise Refused("too_many_feeds", text)

    def gone() -> None:
        services.feed_rate -= plan.rate

    services.feed_rate = total
    feed_id = f"f{next(services.feed_numbers)}"
    feeds = session.feeds
    feeds[feed_id] = Feed(
        feed_id,
        plan,
        session.send,
        services.clock,
        lambda name: feeds.pop(name, None),
        services.turns.spent,
        partial(_held_up, session),
    )
    # The feed sends its first message in a later turn of the loop, so after the ack.
    feeds[feed_id].start(gone)
    return Answer({"feed": feed_id})


def _held_up(session: Session) -> asyncio.Future[None] | None:
    """Return a future to wait for while the session is starved, else None; messages are then only late."""
    return session.when_changed(lambda: None) if session.starved else None
