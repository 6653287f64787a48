"""Creates the carrier, or the driver, that a broker's URL asks for."""

from __future__ import annotations

from typing import Final
from urllib.parse import parse_qs, urlsplit

from rtlab.protocol.urls import shown
from rtlab.server.brokers.carrying.carrier_interface import Carrier
from rtlab.server.brokers.carrying.carrier_limits import CarrierLimits
from rtlab.server.brokers.carrying.driver_interface import BrokerDriver
from rtlab.server.brokers.carrying.reconnecting_carrier import ReconnectingCarrier
from rtlab.server.brokers.carrying.subject_names import encode_subject
from rtlab.server.brokers.room_publishing_interface import BrokerFailed

__all__ = ["carrier_for", "driver_for"]

#: Scheme → its modes; the first is the default.
_SCHEMES: Final[dict[str, tuple[str, ...]]] = {
    "memory": ("",),
    "nats": ("", "core"),
    "redis": ("", "pubsub"),
    "amqp": ("",),
    "kafka": ("",),
}


def carrier_for(url: str, *, namespace: str = "lab", limits: CarrierLimits | None = None) -> Carrier:
    """Make the carrier for a broker; nothing is connected before its `Carrier.open`.

    Parameters
    ----------
    url : str
        ``memory://NAME`` (within this process), or ``nats://``, ``redis://``, ``amqp://``
        (RabbitMQ) or ``kafka://`` with ``[user:password@]host:port``. All of them store messages,
        except ``nats://…?mode=core`` and ``redis://…?mode=pubsub``.
    namespace : str
        Separates labs on one broker: carriers of different namespaces do not hear each other.
    limits : CarrierLimits, optional
        Timeouts and limits; the defaults of `CarrierLimits` if omitted.

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
    return ReconnectingCarrier(driver_for(url, namespace, limits), namespace, limits)


def driver_for(url: str, namespace: str, limits: CarrierLimits) -> BrokerDriver:
    """Make the driver for a broker; its client library is imported only now, as most servers need none.

    Parameters
    ----------
    url, namespace, limits
        As for `carrier_for`.

    Returns
    -------
    BrokerDriver

    Raises
    ------
    BrokerFailed
        For an unknown kind of URL, and when the client library is not installed.
    """
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:  # its text may contain a part of a password
        raise BrokerFailed(f"expected a broker's URL, got {shown(url)}") from None
    modes = parse_qs(parts.query).get("mode", [""])
    mode = modes[0] if parts.query else ""
    if parts.scheme not in _SCHEMES:
        kinds = ", ".join(f"{scheme}://" for scheme in _SCHEMES)
        raise BrokerFailed(f"expected one of {kinds} as a broker's URL, got {parts.scheme or 'no scheme'!r}")
    if mode not in _SCHEMES[parts.scheme]:
        known = " or ".join(f"?mode={one}" for one in _SCHEMES[parts.scheme] if one)
        raise BrokerFailed(f"expected {known or 'no mode'} for {parts.scheme}://, got ?mode={mode}")
    try:
        match parts.scheme:
            case "memory":
                from rtlab.server.brokers.drivers.in_memory_reference import MemoryDriver

                return MemoryDriver(parts.netloc or "default", limits)
            case "redis" if mode == "pubsub":
                from rtlab.server.brokers.drivers.redis_pubsub import RedisPubSubDriver

                return RedisPubSubDriver(parts, limits)
            case "redis":
                from rtlab.server.brokers.drivers.redis_streams import RedisStreamsDriver

                return RedisStreamsDriver(parts, limits)
            case "amqp":
                from rtlab.server.brokers.drivers.rabbitmq import RabbitDriver

                return RabbitDriver(parts, limits)
            case "kafka":
                from rtlab.server.brokers.drivers.kafka import KafkaDriver

                return KafkaDriver(parts, limits)
            case _:
                from rtlab.server.brokers.drivers.nats import NatsDriver

                return NatsDriver(parts, encode_subject(namespace), limits, stored=mode != "core")
    except ModuleNotFoundError as error:
        raise BrokerFailed(
            f"{parts.scheme}:// needs the package {error.name}: pip install 'rtlab[brokers]' brings it"
        ) from error
