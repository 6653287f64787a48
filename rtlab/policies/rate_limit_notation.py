"""A rate limit as one line of text: its scope, its unit, its rate and its burst."""

from __future__ import annotations

from typing import Final, Literal, cast, get_args

import msgspec

from rtlab.policies.fixed_window_rate_limit import FixedWindow
from rtlab.policies.token_bucket import TokenBucket

__all__ = ["LimitUnit", "RateLimit", "Scope", "parse_rate_limit"]

#: Whose messages are counted together.
Scope = Literal["connection", "user", "address", "room"]

#: What is counted.
LimitUnit = Literal["messages", "bytes"]

_EXAMPLE: Final = "'connection messages 50 100' (whose, of what, per second, burst)"


class RateLimit(msgspec.Struct, frozen=True):
    """One rate limit of a server.

    Parameters
    ----------
    scope : {"connection", "user", "address", "room"}
        Whose messages share the limit.
    unit : {"messages", "bytes"}
        The cost of a message in tokens: 1, or its size in bytes.
    rule : TokenBucket or FixedWindow
        The rate and the burst.
    """

    scope: Scope
    unit: LimitUnit
    rule: TokenBucket | FixedWindow

    def __str__(self) -> str:
        kind = " window" if isinstance(self.rule, FixedWindow) else ""
        return f"{self.scope} {self.unit} {self.rule.rate:.12g} {self.rule.burst:.12g}{kind}"


def parse_rate_limit(text: str) -> RateLimit:
    """Read a rate limit.

    Parameters
    ----------
    text : str
        ``"<scope> <unit> <per second> <burst>"``. With a fifth word ``window`` it is a fixed window
        of ``burst / per second`` seconds, which may admit up to twice its limit.

    Raises
    ------
    ValueError
        The text is malformed; the message has an example.

    Examples
    --------
    >>> parse_rate_limit("connection messages 50 100").rule
    TokenBucket(rate=50.0, burst=100.0)
    >>> str(parse_rate_limit("room bytes 10 10 window"))
    'room bytes 10 10 window'
    """
    words = text.split()
    window = words[4:] == ["window"]
    known = len(words) >= 2 and words[0] in get_args(Scope) and words[1] in get_args(LimitUnit)
    if not known or not (len(words) == 4 or window):
        raise ValueError(f"expected a rate limit like {_EXAMPLE}, got {text!r:.80}")
    try:
        rate, burst = float(words[2]), float(words[3])
        rule = FixedWindow(burst, burst / rate) if window else TokenBucket(rate, burst)
    except (ValueError, ZeroDivisionError) as error:
        raise ValueError(f"expected a rate limit like {_EXAMPLE}, got {text!r:.80}: {error}") from None
    return RateLimit(cast("Scope", words[0]), cast("LimitUnit", words[1]), rule)
