"""What a connection's options mean together, and which of them can be none."""

from __future__ import annotations

from typing import Any, Final, Literal

from rtlab.policies.backoff import DEFAULT, Backoff, FullJitter
from rtlab.policies.heartbeat import Heartbeat, Ping
from rtlab.policies.reconnect_policy import RetryPolicy

__all__ = ["DefaultHeartbeat", "checked", "default_heartbeat", "in_force", "policy_of", "positive"]

DefaultHeartbeat = Literal["default"]

#: Event streams and long polls are not here: their transports end when the server's
#: heartbeat (or answer) stays out, after ``silence_timeout`` and ``poll_timeout``. A
#: WebSocket's dead peer usually shows by a reset; UDP has none, so WebRTC asks more often.
_HEARTBEATS: Final[dict[str, Heartbeat]] = {
    "websocket": Ping(interval=20.0, timeout=20.0),
    "webrtc": Ping(interval=5.0, timeout=5.0),
}


def default_heartbeat(transport: str) -> Heartbeat | None:
    """Return the heartbeat of connections that are given none.

    Parameters
    ----------
    transport : str
        The transport's name.

    Returns
    -------
    Heartbeat or None
        None where the transport itself notices silence.

    Examples
    --------
    >>> default_heartbeat("webrtc")
    Ping(interval=5.0, timeout=5.0)
    """
    return _HEARTBEATS.get(transport)


def checked(name: str, value: Any, example: str, *methods: str) -> None:
    """Refuse at once what would fail in the middle of a connection.

    Parameters
    ----------
    name : str
        The option's.
    value : object
        What was given; None passes.
    example : str
        What would have been right.
    *methods : str
        What such an object can do.

    Raises
    ------
    TypeError
        With the example.

    Examples
    --------
    >>> checked("heartbeat", 5, "Ping(20, 10)", "start", "step")
    Traceback (most recent call last):
    TypeError: expected heartbeat to be an object like Ping(20, 10), got 5
    """
    if value is None:
        return
    if isinstance(value, type) or not all(hasattr(value, method) for method in methods):
        raise TypeError(f"expected {name} to be an object like {example}, got {value!r}")


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
    checked("backoff", backoff, "FullJitter(0.5, 30)", "delay", "max_attempts", "min_uptime")
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
    """Return what holds for a connection: its policy's parts and the other options, as Python writes them.

    Parameters
    ----------
    policy : RetryPolicy
        What `policy_of` made of several options.
    **options : object
        The others. One without a repr of its own is shown by its class alone.

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


#: What a backoff says of itself and the policy overrides, and what no reader of a panel needs.
_UNTOLD: Final = ("max_attempts", "min_uptime", "source")


def _as_code(value: object) -> str:
    kind = type(value)
    fields = getattr(kind, "__struct_fields__", None) or getattr(kind, "__dataclass_fields__", ())
    if fields:
        named = [f"{name}={getattr(value, name)!r}" for name in fields if name not in _UNTOLD]
        return f"{kind.__name__}({', '.join(named)})"
    return repr(value) if kind.__repr__ is not object.__repr__ else f"{kind.__name__}(…)"
