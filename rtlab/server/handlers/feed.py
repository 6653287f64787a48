"""``feed``: starts and stops open-loop streams."""

from __future__ import annotations

from typing import Final

from rtlab.server.feed import Feed, parse_plan
from rtlab.server.handlers.base import Services, field
from rtlab.server.incoming_message import Answer, Incoming
from rtlab.server.refusal import Refused

__all__ = ["MAX_FEEDS", "feed"]

#: Of one session, at the same time.
MAX_FEEDS: Final = 4


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
    feed_id = f"f{next(services.feed_numbers)}"
    feeds = session.feeds
    feeds[feed_id] = Feed(
        feed_id,
        plan,
        session.send,
        services.clock,
        lambda name: feeds.pop(name, None),
        lambda: services.turns.spent,
    )
    # Its first message follows in a later turn of the loop: behind the ack.
    feeds[feed_id].start()
    return Answer({"feed": feed_id})
