"""The proxies of one process, by name."""

from __future__ import annotations

import asyncio
from typing import Any

from rtlab.faults.errors import (
    FaultError,
    bad_request,
    missing_field,
    proxy_exists,
    proxy_not_found,
)
from rtlab.faults.fault_trace import Trace
from rtlab.faults.proxy.proxy_base_class import Proxy, split_address
from rtlab.faults.proxy.proxy_loop_detection import refuse_loop
from rtlab.faults.proxy.tcp_link import ReceiveBuffer
from rtlab.faults.proxy.tcp_proxy import TcpProxy
from rtlab.faults.proxy.udp_proxy import UdpProxy
from rtlab.faults.toxiproxy_json import lower_case_fields

__all__ = ["Collection"]


class Collection:
    """Creates, finds and removes proxies, with the fields and errors of Toxiproxy's API.

    Parameters
    ----------
    trace : Trace
        Shared by all proxies.
    seed : int
        Seed of proxies that are created without one.
    """

    def __init__(self, trace: Trace | None = None, seed: int = 0) -> None:
        self.trace = trace or Trace()
        self.seed = seed
        self.proxies: dict[str, Proxy] = {}
        self._receive_buffer = ReceiveBuffer()
        self._lock = asyncio.Lock()  # serialises changes to the set of proxies

    def get(self, name: str) -> Proxy:
        proxy = self.proxies.get(name)
        if proxy is None:
            raise proxy_not_found()
        return proxy

    async def create(self, body: Any) -> Proxy:
        """``POST /proxies``: name, upstream, listen, enabled; rtlab adds protocol, seed, buffer_bytes."""
        fields = _fields(body)
        for name in ("name", "upstream"):
            if not fields[name]:
                raise missing_field(name)
        async with self._lock:
            if fields["name"] in self.proxies:
                raise proxy_exists()
            return await self._add(fields)

    async def _add(self, fields: dict[str, Any]) -> Proxy:
        await self._refuse_loop(fields)
        proxy = self._make(fields)
        if fields["enabled"]:
            await proxy.start()
        self.proxies[proxy.name] = proxy
        return proxy

    async def _refuse_loop(self, fields: dict[str, Any]) -> None:
        others = [
            proxy
            for proxy in self.proxies.values()
            if proxy.protocol == fields["protocol"] and proxy.name != fields["name"]
        ]
        await refuse_loop(fields["listen"] or "127.0.0.1:0", fields["upstream"], others)

    def _make(self, fields: dict[str, Any]) -> Proxy:
        addresses = fields["name"], fields["listen"], fields["upstream"]
        seed = self.seed if fields["seed"] is None else fields["seed"]
        if fields["protocol"] == "udp":
            return UdpProxy(*addresses, trace=self.trace, seed=seed)
        return TcpProxy(
            *addresses,
            trace=self.trace,
            seed=seed,
            receive_buffer=self._receive_buffer,
            buffer_bytes=fields["buffer_bytes"],
        )

    async def update(self, proxy: Proxy, body: Any) -> None:
        """``PATCH /proxies/{p}``: missing fields keep their values."""
        given = lower_case_fields(body)
        fixed = {"name": proxy.name, "protocol": proxy.protocol}
        async with self._lock:
            if self.proxies.get(proxy.name) is not proxy:  # removed while this waited
                raise proxy_not_found()
            now = {"listen": proxy.listen, "upstream": proxy.upstream, "enabled": proxy.enabled}
            fields = _fields({**now, **given})
            await self._refuse_loop({**fields, **fixed})
            await proxy.update(fields["listen"], fields["upstream"], fields["enabled"])

    async def populate(self, body: Any) -> list[Proxy]:
        """``POST /populate``: keep proxies whose addresses are the same, replace or add the others."""
        if body is None:  # JSON null
            body = []
        if not isinstance(body, list):
            raise bad_request(f"expected an array, got {type(body).__name__}")
        items: list[Any] = body  # pyright: ignore[reportUnknownVariableType]
        wanted = [_fields(item) for item in items]
        seen: set[str] = set()
        for i, fields in enumerate(wanted, 1):
            for name in ("name", "upstream"):
                if not fields[name]:
                    raise missing_field(f"{name} at proxy {i}")
            if fields["enabled"]:
                split_address(fields["listen"] or "127.0.0.1:0")
                split_address(fields["upstream"])
            if fields["name"] in seen:
                raise FaultError(f'duplicate proxy name "{fields["name"]}"', 400)
            seen.add(fields["name"])
        proxies: list[Proxy] = []
        async with self._lock:
            for fields in wanted:
                old = self.proxies.get(fields["name"])
                if old and not await old.differs(fields["listen"], fields["upstream"]):
                    await old.update(old.listen, old.upstream, fields["enabled"])
                    proxies.append(old)
                    continue
                if old:
                    await old.close()
                    del self.proxies[old.name]
                proxies.append(await self._add(fields))
        return proxies

    async def remove(self, name: str) -> None:
        async with self._lock:
            await self.get(name).close()
            del self.proxies[name]

    async def reset(self) -> None:
        """Remove every toxic and enable every proxy."""
        async with self._lock:
            for proxy in self.proxies.values():
                await proxy.start()
                proxy.reset_toxics()

    async def close(self) -> None:
        """Stop everything, for good."""
        async with self._lock:
            for proxy in self.proxies.values():
                await proxy.close("rst")
            self.proxies.clear()

    def metrics(self) -> str:
        """Toxiproxy's counters in Prometheus' text format.

        The two counters of a direction differ by the bytes that toxics swallow, hold or add.
        """
        lines: list[str] = []
        for metric, what, help in (
            ("received", "bytes", "Received bytes total"),
            ("sent", "sent_bytes", "Sent bytes total"),
        ):
            name = f"toxiproxy_proxy_{metric}_bytes_total"
            lines += [f"# HELP {name} {help}", f"# TYPE {name} counter"]
            for proxy in self.proxies.values():
                for direction, counts in proxy.byte_counts().items():
                    labels = (
                        f'direction="{direction}",listener="{proxy.listen}",'
                        f'proxy="{_escape(proxy.name)}",upstream="{_escape(proxy.upstream)}"'
                    )
                    lines.append(f"{name}{{{labels}}} {counts[what]}")
        connections = "rtlab_proxy_connections"
        lines += [f"# HELP {connections} Open connections", f"# TYPE {connections} gauge"]
        for proxy in self.proxies.values():
            lines.append(f'{connections}{{proxy="{_escape(proxy.name)}"}} {len(proxy.links)}')
        tasks = len(asyncio.all_tasks())
        lines += ["# HELP rtlab_tasks Tasks", "# TYPE rtlab_tasks gauge", f"rtlab_tasks {tasks}"]
        return "\n".join(lines) + "\n"


_FIELDS: dict[str, tuple[type, Any]] = {
    "name": (str, ""),
    "listen": (str, ""),
    "upstream": (str, ""),
    "enabled": (bool, True),
    "seed": (int, None),
    "protocol": (str, "tcp"),
    "buffer_bytes": (int, None),
}


def _fields(body: Any) -> dict[str, Any]:
    """Return the type-checked fields of a proxy, with defaults; ignores unknown fields, as Go does."""
    given = lower_case_fields(body)
    fields: dict[str, Any] = {}
    for name, (kind, default) in _FIELDS.items():
        value = given.get(name)
        if value is None:
            value = default
        elif not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
            raise bad_request(f"{name} must be a {kind.__name__}, got {type(value).__name__}")
        fields[name] = value
    if fields["protocol"] not in ("tcp", "udp"):
        raise bad_request(f"protocol must be tcp or udp, got {fields['protocol']}")
    size = fields["buffer_bytes"]
    if size is not None and not 1024 <= size <= 1 << 26:
        raise bad_request(f"buffer_bytes must be from 1024 to {1 << 26}, got {size}")
    return fields


def _escape(text: str) -> str:
    return text.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
