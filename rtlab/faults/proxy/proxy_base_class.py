"""The base class of proxies: a name, two addresses, toxics, and the links that the toxics affect."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
from typing import Any, ClassVar, Final

from rtlab.faults.errors import FaultError, bad_request, proxy_not_found, toxic_exists, toxic_not_found
from rtlab.faults.fault_trace import Trace
from rtlab.faults.proxy.toxic_pipe import PipePair
from rtlab.faults.toxics import ToxicEntry, parse_entry

__all__ = ["Proxy", "join_address", "listen_error", "resolve", "split_address"]

MAX_TOXICS: Final = 200


def split_address(address: str) -> tuple[str, int]:
    """``"host:port"`` as a pair; an empty host means 127.0.0.1.

    Raises
    ------
    FaultError
        400, if the port is missing or is not a number from 0 to 65535, or the host cannot be a name.
    """
    host, colon, port = address.rpartition(":")
    if not colon:
        raise bad_request(f"address {address}: missing port in address")
    if not port.isascii() or not port.isdigit() or len(port) > 5 or int(port) > 65535:
        raise bad_request(f"address {address}: invalid port")
    try:
        host.encode("idna")  # as `getaddrinfo` does, whose UnicodeError no caller of it expects
    except UnicodeError as error:
        raise bad_request(f"address {address}: invalid host name") from error
    return host.strip("[]") or "127.0.0.1", int(port)


async def resolve(address: str) -> tuple[socket.AddressFamily, tuple[Any, ...]]:
    """Resolve ``"host:port"`` to one socket address; a host name is resolved to IPv4 only."""
    host, port = split_address(address)
    family = socket.AF_UNSPEC if ":" in host else socket.AF_INET
    loop = asyncio.get_running_loop()
    infos = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM, family=family)
    return infos[0][0], infos[0][4]


def join_address(name: tuple[Any, ...]) -> str:
    """Write a socket address as ``"host:port"``, with an IPv6 host in brackets."""
    host, port = name[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


class Proxy:
    """One proxy: clients ↔ proxy ↔ upstream. See `TcpProxy` and `UdpProxy`.

    Parameters
    ----------
    name : str
        Unique name.
    listen, upstream : str
        ``"host:port"``; port 0 listens on a free one, which on Linux a TCP proxy keeps while it is disabled.
    trace : Trace
        Where all events are recorded.
    seed : int
        Seed of all randomness of this proxy's connections.
    """

    protocol: ClassVar[str] = ""

    def __init__(self, name: str, listen: str, upstream: str, *, trace: Trace, seed: int = 0) -> None:
        self.name = name
        self.listen = listen or "127.0.0.1:0"
        self.upstream = upstream
        self.trace = trace
        self.seed = seed
        self.enabled = False
        self.entries: list[ToxicEntry] = []
        self.links: set[PipePair] = set()
        self._accepted = 0
        self._done = {direction: {"bytes": 0, "sent_bytes": 0} for direction in ("upstream", "downstream")}
        self._switching = asyncio.Lock()
        self._closed = False

    def to_dict(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "listen": self.listen,
            "upstream": self.upstream,
            "enabled": self.enabled,
            "toxics": [entry.to_dict() for entry in self.in_order()],
        }

    # Listening
    async def _listen(self) -> str:
        """Begin to listen; returns the address, with the port that the system chose for port 0."""
        raise NotImplementedError

    async def _close(self) -> None:
        """Stop listening, and return when every link, which `stop` has ended before, is closed."""
        raise NotImplementedError

    def release_port(self) -> None:
        """Let other programs have the port that the system chose for a disabled proxy."""

    async def start(self) -> None:
        """Listen. Does nothing when already listening.

        Raises
        ------
        FaultError
            400 for a bad address, 500 when the system cannot listen, as on a port in use; 404 after `close`.
        """
        async with self._switching:
            if self._closed:  # a script or a request that came before still uses it
                raise proxy_not_found()
            if self.enabled:
                return
            split_address(self.listen)
            split_address(self.upstream)
            try:
                self.listen = await self._listen()
            except OSError as error:
                raise listen_error(self.protocol, self.listen, error) from error
            self.enabled = True
            self.trace.add("proxy_up", self.name)

    async def stop(self, how: str = "fin") -> None:
        """Stop listening and end every connection. Returns when all are closed."""
        async with self._switching:
            if not self.enabled:
                return
            self.enabled = False
            self.trace.add("proxy_down", self.name, bytes=sum(link.held for link in self.links))
            self.cut(how, "proxy stopped")
            for link in tuple(self.links):
                link.abandon()
            await self._close()

    async def close(self, how: str = "fin") -> None:
        """Stop for good, and release the port."""
        self._closed = True
        await self.stop(how)
        self.release_port()

    async def differs(self, listen: str, upstream: str) -> bool:
        """Whether the proxy's addresses differ from these; ``localhost:9`` equals ``127.0.0.1:9``."""
        return upstream != self.upstream or await self._moves(listen)

    async def _moves(self, listen: str) -> bool:
        if listen == self.listen:
            return False
        try:
            _, name = await resolve(listen)
        except (FaultError, OSError):
            return True
        return join_address(name) != self.listen

    async def update(self, listen: str, upstream: str, enabled: bool) -> None:
        """Change the addresses (which ends all connections), or enable or disable the proxy."""
        moved = await self._moves(listen)
        if moved or upstream != self.upstream:
            split_address(listen)
            split_address(upstream)
            await self.stop()
            self.upstream = upstream
            if moved:
                self.release_port()
                self.listen = listen
        if enabled != self.enabled:
            await (self.start() if enabled else self.stop())

    # Links
    def cut(self, how: str = "rst", detail: str = "cut") -> int:
        """End every open connection now; returns their number."""
        victims = sorted((link for link in self.links if not link.ended), key=lambda link: link.number)
        for link in victims:
            link.end(how, "", detail)
        return len(victims)

    def reseed(self, seed: int) -> None:
        """Restart connection numbers and random draws, also those of open connections."""
        self.seed = seed
        self._accepted = 0
        for link in sorted(self.links, key=lambda link: link.number):
            link.number, link.rng_seed = self.next_number()
            link.reseed()
        self._apply()  # a toxicity below 1 may touch other connections now

    def next_number(self) -> tuple[int, str]:
        """Return the number of the next connection, and the seed of its randomness."""
        self._accepted += 1
        return self._accepted, f"{self.seed}/{self.name}/{self._accepted}"

    def forget(self, link: PipePair) -> None:
        """Remove a closed link, and keep its byte counts."""
        self.links.discard(link)
        _add_bytes(self._done, link)

    def byte_counts(self) -> dict[str, dict[str, int]]:
        """Bytes received and sent per direction, of all connections so far."""
        counts = {direction: dict(done) for direction, done in self._done.items()}
        for link in self.links:
            _add_bytes(counts, link)
        return counts

    # Toxics
    def in_order(self) -> list[ToxicEntry]:
        """The toxics in Toxiproxy's order: upstream before downstream, oldest first."""
        return sorted(self.entries, key=lambda entry: entry.stream != "upstream")

    def toxic(self, name: str) -> ToxicEntry:
        for entry in self.entries:
            if entry.name == name:
                return entry
        raise toxic_not_found()

    def add_toxic(self, body: Any) -> ToxicEntry:
        """Add the toxic that a request body describes, to open connections too."""
        entry = parse_entry(body, self.protocol)
        if any(other.name == entry.name for other in self.entries):
            raise toxic_exists()
        if len(self.entries) >= MAX_TOXICS:
            raise bad_request(f"a proxy takes at most {MAX_TOXICS} toxics")
        self.entries.append(entry)
        self.trace.add(
            "toxic_added", self.name, toxic=entry.name, direction=entry.stream, detail=_attributes(entry)
        )
        self._apply()
        return entry

    def update_toxic(self, name: str, body: Any) -> ToxicEntry:
        entry = self.toxic(name)
        entry.attributes, entry.toxicity = entry.updated(body)
        self.trace.add(
            "toxic_updated", self.name, toxic=entry.name, direction=entry.stream, detail=_attributes(entry)
        )
        for link in tuple(self.links):
            for pipe in link.pipes:
                for stage in tuple(pipe.stages):
                    if stage.entry is entry and not link.ended:
                        stage.changed()
        self._apply()
        return entry

    def remove_toxic(self, name: str) -> None:
        entry = self.toxic(name)
        self.entries.remove(entry)
        self.trace.add(
            "toxic_removed",
            self.name,
            toxic=name,
            direction=entry.stream,
            bytes=sum(t.held for t in self.links),
        )
        self._apply()

    def reset_toxics(self) -> None:
        for entry in tuple(self.entries):
            self.remove_toxic(entry.name)

    def _apply(self) -> None:
        for link in sorted(self.links, key=lambda t: t.number):
            if not link.ended:
                link.apply(self.entries)


def _add_bytes(counts: dict[str, dict[str, int]], link: PipePair) -> None:
    for pipe in link.pipes:
        counts[pipe.direction]["bytes"] += pipe.bytes
        counts[pipe.direction]["sent_bytes"] += pipe.sink.sent


def _attributes(entry: ToxicEntry) -> str:
    pairs = entry.to_dict()["attributes"].items()
    return " ".join([entry.type, *(f"{k}={v}" for k, v in pairs)])


def listen_error(protocol: str, address: str, error: OSError) -> FaultError:
    """Return the error of a failed listen, worded as Go's net package does."""
    if isinstance(error, socket.gaierror):
        text = "lookup: no such host"
    else:
        text = os.strerror(error.errno).lower() if error.errno else str(error)
        if error.errno in (errno.EADDRINUSE, errno.EACCES, errno.EADDRNOTAVAIL):
            text = f"bind: {text}"
    return FaultError(f"listen {protocol} {address}: {text}", 500)
