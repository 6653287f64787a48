"""Which carrier a URL means."""

from __future__ import annotations

from urllib.parse import urlsplit

from rtlab.server.brokers.base import BrokerFailed
from rtlab.server.brokers.carrier import Carrier
from rtlab.server.brokers.carrier_limits import CarrierLimits
from rtlab.server.brokers.driver import Driver
from rtlab.server.brokers.linked_carrier import LinkedCarrier

__all__ = ["carrier_for"]


def carrier_for(url: str, *, namespace: str = "lab", limits: CarrierLimits | None = None) -> Carrier:
    """Make the carrier for a broker; nothing is connected before its `Carrier.open`.

    Parameters
    ----------
    url : str
        ``memory://NAME``: within this process.
    namespace : str
        Carriers of another namespace on the same broker are not heard.
    limits : CarrierLimits, optional
        Times and sizes.

    Returns
    -------
    Carrier

    Raises
    ------
    BrokerFailed
        For an unknown kind of URL.

    Examples
    --------
    >>> carrier_for("memory://here").label
    'memory://here'
    """
    limits = limits or CarrierLimits()
    return LinkedCarrier(_driver(url, limits), namespace, limits)


def _driver(url: str, limits: CarrierLimits) -> Driver:
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError as error:
        raise BrokerFailed(f"expected a broker's URL, got {url!r:.100}: {error}") from None
    if parts.scheme == "memory":
        from rtlab.server.brokers.memory_driver import MemoryDriver

        return MemoryDriver(parts.netloc or "default", limits)
    raise BrokerFailed(f"expected memory://NAME as a broker's URL, got {parts.scheme or url!r:.100}")
