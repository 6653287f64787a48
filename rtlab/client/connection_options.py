"""Checks a connection's options, combines them into a retry policy, and shows the values in force."""

from __future__ import annotations

from typing import Any, Final

from rtlab.policies.backoff import DEFAULT, Backoff, FullJitter
from rtlab.policies.retry_limits_and_server_hints import RetryPolicy

__all__ = ["checked_option", "in_force", "policy_of", "positive"]


def checked_option(name: str, value: Any, example: str, *methods: str) -> None:
    """Refuse an option of the wrong type at once: it would fail only while a connection is open.

    Parameters
    ----------
    name : str
        The option's name.
    value : object
        The option's value; None is accepted.
    example : str
        A valid value, as code, for the error message.
    *methods : str
        Attributes that a valid value has.

    Raises
    ------
    TypeError
        The value lacks one of them, or is a class.

    Examples
    --------
    >>> checked_option("heartbeat", 5, "Ping(20, 10)", "start", "step")
    Traceback (most recent call last):
    TypeError: expected heartbeat to be an object like Ping(20, 10), got 5
    """
    if value is None:
        return
    if isinstance(value, type) or not all(hasattr(value, method) for method in methods):
        # A value for ``auth`` of the wrong type is most often a token.
        got = f"a value of type {type(value).__name__}" if name == "auth" else repr(value)
        raise TypeError(f"expected {name} to be an object like {example}, got {got}")


def positive(name: str, seconds: float) -> float:
    """Return `seconds`; raise ValueError unless it is finite and above 0."""
    if not 0 < seconds < float("inf"):
        raise ValueError(f"expected {name} > 0 in finite seconds, got {seconds!r}")
    return seconds


def policy_of(
    backoff: Backoff | None,
    interval: float | None,
    max_attempts: int | None,
    min_uptime: float | None,
    retry_initial: bool,
    max_retry_after: float,
) -> RetryPolicy:
    """Return the policy that a connection's options describe; raise ValueError or TypeError for bad ones."""
    checked_option("backoff", backoff, "FullJitter(0.5, 30)", "delay", "max_attempts", "min_uptime")
    if backoff is not None and interval is not None:
        raise ValueError(
            "expected backoff or reconnect_interval, got both: the backoff has a base of its own"
        )
    if max_attempts is not None and max_attempts < 0:
        raise ValueError(f"expected max_reconnect_attempts >= 0, got {max_attempts}")
    if not 0 <= max_retry_after < float("inf"):
        raise ValueError(f"expected max_retry_after >= 0 in finite seconds, got {max_retry_after!r}")
    if backoff is None:
        backoff = DEFAULT if interval is None else FullJitter(base=interval, cap=max(30.0, interval))
    return RetryPolicy(
        backoff,
        max_attempts=max_attempts if max_attempts is not None else backoff.max_attempts,
        min_uptime=min_uptime if min_uptime is not None else backoff.min_uptime,
        retry_initial=retry_initial,
        max_retry_after=max_retry_after,
    )


def in_force(policy: RetryPolicy, **options: object) -> dict[str, str]:
    """Return the options in force: the policy's fields and the other options, as Python code.

    Parameters
    ----------
    policy : RetryPolicy
        The retry policy that `policy_of` made from several options.
    **options : object
        The other options. A value without a repr of its own is shown by its class name.

    Examples
    --------
    >>> in_force(policy_of(None, 1.0, 5, None, False, 300.0), heartbeat=None)["backoff"]
    'FullJitter(base=1.0, cap=30.0, factor=2.0)'
    """
    shown = {
        "backoff": policy.backoff,
        "max_reconnect_attempts": policy.max_attempts,
        "min_uptime": policy.min_uptime,
        "retry_initial": policy.retry_initial,
        "max_retry_after": policy.max_retry_after,
        **options,
    }
    return {name: _as_code(value) for name, value in shown.items()}


#: Fields that are not shown: the retry policy overrides the first two, and readers need not see the third.
_UNTOLD: Final = ("max_attempts", "min_uptime", "source")


def _as_code(value: object) -> str:
    kind = type(value)
    fields = getattr(kind, "__struct_fields__", None) or getattr(kind, "__dataclass_fields__", ())
    if fields:
        named = [f"{name}={getattr(value, name)!r}" for name in fields if name not in _UNTOLD]
        return f"{kind.__name__}({', '.join(named)})"
    return repr(value) if kind.__repr__ is not object.__repr__ else f"{kind.__name__}(…)"
