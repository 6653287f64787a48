"""How long a carrier waits, and how much it holds."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["CarrierLimits"]


@dataclass(frozen=True, slots=True)
class CarrierLimits:
    """Timeouts and limits of a carrier.

    Parameters
    ----------
    connect_timeout : float
        Seconds for one attempt to connect and to attach all subscriptions.
    answer_timeout : float
        Seconds for the broker's answer to what was sent; then the link counts as lost.
    wait_timeout : float
        Seconds that a message, or a subscription, waits for a link that is down.
    probe_interval : float
        Seconds between two probes: a link that delivers nothing is detected within two intervals.
    first_pause, longest_pause : float
        Seconds before the first attempt to reconnect, and the longest pause between two attempts; the
        pause doubles, with jitter.
    waiting_messages, waiting_bytes : int
        How much may wait for the broker's answers.
    history_messages : int
        How many messages of a subject the broker is asked to keep, if it can be asked.
    history_seconds : int
        How long the broker is asked to keep them, if it can be asked.
    """

    connect_timeout: float = 10.0
    answer_timeout: float = 5.0
    wait_timeout: float = 5.0
    probe_interval: float = 2.0
    # Reconnecting
    first_pause: float = 0.05
    longest_pause: float = 1.0
    # Sizes
    waiting_messages: int = 10_000
    waiting_bytes: int = 16 * 1024 * 1024
    history_messages: int = 1_000
    history_seconds: int = 3_600

    def __post_init__(self) -> None:
        for name in self.__slots__:
            if getattr(self, name) <= 0:
                raise ValueError(f"expected {name} above 0, got {getattr(self, name)}")
