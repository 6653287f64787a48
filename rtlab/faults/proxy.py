"""A listener, its connections and its toxics."""

from __future__ import annotations

import asyncio
import errno
import os
import socket
from typing import Any, Final

from rtlab.faults.errors import FaultError, bad_request, toxic_exists, toxic_not_found
from rtlab.faults.toxics import Entry, parse_entry
from rtlab.faults.trace import Trace
from rtlab.faults.tunnel import Endpoint, Scratch, Tunnel

__all__ = ["Proxy", "split_address"]

DIAL_TIMEOUT: Final = 10.0
BACKLOG: Final = 4096
MAX_TOXICS: Final = 200


def split_address(address: str) -> tuple[str, int]:
    """``"host:port"`` as a pair; an empty host means 127.0.0.1.

    Raises
    ------
    FaultError
        400, if there is no port or it is no number from 0 to 65535.
    """
    host, colon, port = address.rpartition(":")
    if not colon:
        raise bad_request(f"address {address}: missing port in address")
    if not port.isascii() or not port.isdigit() or int(port) > 65535:
        raise bad_request(f"address {address}: invalid port")
    return host.strip("[]") or "127.0.0.1", int(port)


class Proxy:
    """One proxy: client ↔ proxy ↔ upstream.

    Parameters
    ----------
    name : str
        Unique name.
    listen, upstream : str
        ``"host:port"``; port 0 listens on a free one.
    trace : Trace
        Where everything is put on record.
    scratch : Scratch
        The process's receive buffer.
    seed : int
        Source of all randomness of this proxy's connections.
    buffer_bytes : int or None
        Kernel and user-space buffers of each socket; small values make
        backpressure show early. ``None`` leaves them to the kernel.
    """

    def __init__(
        self,
        name: str,
        listen: str,
        upstream: str,
        *,
        trace: Trace,
        scratch: Scratch | None = None,
        seed: int = 0,
        buffer_bytes: int | None = None,
    ) -> None:
        self.name = name
        self.listen = listen or "127.0.0.1:0"
        self.upstream = upstream
        self.trace = trace
        self.seed = seed
        self.buffer_bytes = buffer_bytes
        self.enabled = False
        self.entries: list[Entry] = []
        self.tunnels: set[Tunnel] = set()
        self.accepted = 0
        self._done = {s: {"bytes": 0, "sent_bytes": 0} for s in ("upstream", "downstream")}
        self._scratch = scratch or Scratch()
        self._server: asyncio.Server | None = None
        self._dialling: set[asyncio.Task[None]] = set()
        self._idle = asyncio.Event()
        self._idle.set()

    def to_dict(self) -> dict[str, Any]:
        shown: dict[str, Any] = {
            "name": self.name,
            "listen": self.listen,
            "upstream": self.upstream,
            "enabled": self.enabled,
            "toxics": [entry.to_dict() for entry in self.in_order()],
        }
        if self.buffer_bytes:
            shown["buffer_bytes"] = self.buffer_bytes
        return shown

    # Listening
    async def start(self) -> None:
        """Listen. Does nothing when already listening.

        Raises
        ------
        FaultError
            400 for a bad address, 500 for a port that is taken.
        """
        if self.enabled:
            return
        host, port = split_address(self.listen)
        split_address(self.upstream)
        loop = asyncio.get_running_loop()
        try:
            # "localhost" may mean several addresses; Toxiproxy binds one of them
            infos = await loop.getaddrinfo(
                host, port, type=socket.SOCK_STREAM, family=0 if ":" in host else socket.AF_INET
            )
            sock = socket.socket(infos[0][0], socket.SOCK_STREAM)
            try:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                if self.buffer_bytes:  # inherited by what accept() returns
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, self.buffer_bytes)
                sock.bind(infos[0][4])
                sock.setblocking(False)
                self._server = await loop.create_server(self._accept, sock=sock, backlog=BACKLOG)
            except BaseException:
                sock.close()
                raise
        except OSError as error:
            raise FaultError(f"listen tcp {self.listen}: {_go_words(error)}", 500) from error
        name = self._server.sockets[0].getsockname()
        self.listen = f"{name[0]}:{name[1]}" if ":" not in name[0] else f"[{name[0]}]:{name[1]}"
        self.enabled = True
        self.trace.add("proxy_up", self.name)

    async def stop(self, how: str = "fin") -> None:
        """Stop listening and end every connection. Returns when all are gone."""
        if not self.enabled:
            return
        self.enabled = False
        assert self._server is not None
        self._server.close()
        for task in tuple(self._dialling):
            task.cancel()
        await asyncio.gather(*self._dialling, return_exceptions=True)
        self.trace.add("proxy_down", self.name, bytes=sum(t.held for t in self.tunnels))
        self.cut(how, "proxy stopped")
        for tunnel in tuple(self.tunnels):
            tunnel.client.finish("drop")
            tunnel.server.finish("drop")
        await self._idle.wait()
        self._server = None

    async def update(self, listen: str, upstream: str, enabled: bool) -> None:
        """Change addresses (which ends all connections) or switch on and off."""
        if (listen, upstream) != (self.listen, self.upstream):
            split_address(listen)
            split_address(upstream)
            await self.stop()
            self.listen, self.upstream = listen, upstream
        if enabled != self.enabled:
            await (self.start() if enabled else self.stop())

    def cut(self, how: str = "rst", detail: str = "cut") -> int:
        """End every connection now; returns how many."""
        victims = sorted((t for t in self.tunnels if not t.ended), key=lambda t: t.number)
        for tunnel in victims:
            tunnel.end(how, "", detail)
        return len(victims)

    def reseed(self, seed: int) -> None:
        """Start counting and drawing anew: what is open is renumbered from 1."""
        self.seed = seed
        self.accepted = 0
        for tunnel in sorted(self.tunnels, key=lambda t: t.number):
            tunnel.number, tunnel.rng_seed = self._next_number()

    # Connections
    def _next_number(self) -> tuple[int, str]:
        self.accepted += 1
        return self.accepted, f"{self.seed}/{self.name}/{self.accepted}"

    def _accept(self) -> Endpoint:
        return _Accepted(self)

    def dial_for(self, client: Endpoint) -> None:
        """A client is here: connect it to the upstream."""
        number, seed = self._next_number()
        self._idle.clear()
        task = asyncio.get_running_loop().create_task(self._dial(client, number, seed))
        self._dialling.add(task)
        task.add_done_callback(self._dialled)

    def _dialled(self, task: asyncio.Task[None]) -> None:
        self._dialling.discard(task)
        self._settle()

    async def _dial(self, client: Endpoint, number: int, seed: str) -> None:
        host, port = split_address(self.upstream)
        server = Endpoint(self._scratch, self.buffer_bytes)
        try:
            async with asyncio.timeout(DIAL_TIMEOUT):
                await asyncio.get_running_loop().create_connection(lambda: server, host, port)
        except (OSError, TimeoutError) as error:
            self.trace.add("upstream_failed", self.name, connection=number, detail=type(error).__name__)
            client.finish("fin")
            return
        except asyncio.CancelledError:
            client.finish("drop")
            server.finish("drop")
            raise
        if client.is_gone or server.is_gone:
            client.finish("fin")
            server.finish("fin")
            return
        tunnel = Tunnel(number, self.name, seed, client, server, self.trace, self._closed)
        self.tunnels.add(tunnel)
        tunnel.start(self.entries)

    def _closed(self, tunnel: Tunnel) -> None:
        self.tunnels.discard(tunnel)
        _add_bytes(self._done, tunnel)
        self._settle()

    def byte_counts(self) -> dict[str, dict[str, int]]:
        """Bytes received and sent per direction, of all connections ever."""
        counts = {direction: dict(done) for direction, done in self._done.items()}
        for tunnel in self.tunnels:
            _add_bytes(counts, tunnel)
        return counts

    def _settle(self) -> None:
        if not self.tunnels and not self._dialling:
            self._idle.set()

    # Toxics
    def in_order(self) -> list[Entry]:
        """As Toxiproxy lists them: upstream before downstream, oldest first."""
        return sorted(self.entries, key=lambda entry: entry.stream != "upstream")

    def toxic(self, name: str) -> Entry:
        for entry in self.entries:
            if entry.name == name:
                return entry
        raise toxic_not_found()

    def add_toxic(self, body: Any) -> Entry:
        """Add the toxic that a request body describes, to open connections too."""
        entry = parse_entry(body)
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

    def update_toxic(self, name: str, body: Any) -> Entry:
        entry = self.toxic(name)
        entry.attributes, entry.toxicity = entry.updated(body)
        self.trace.add(
            "toxic_updated", self.name, toxic=entry.name, direction=entry.stream, detail=_attributes(entry)
        )
        for tunnel in tuple(self.tunnels):
            for pipe in (tunnel.up, tunnel.down):
                for stage in tuple(pipe.stages):
                    if stage.entry is entry and not tunnel.ended:
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
            bytes=sum(t.held for t in self.tunnels),
        )
        self._apply()

    def reset_toxics(self) -> None:
        for entry in tuple(self.entries):
            self.remove_toxic(entry.name)

    def _apply(self) -> None:
        for tunnel in sorted(self.tunnels, key=lambda t: t.number):
            if not tunnel.ended:
                tunnel.apply(self.entries)


def _add_bytes(counts: dict[str, dict[str, int]], tunnel: Tunnel) -> None:
    for pipe, sink in ((tunnel.up, tunnel.server), (tunnel.down, tunnel.client)):
        counts[pipe.direction]["bytes"] += pipe.bytes
        counts[pipe.direction]["sent_bytes"] += sink.sent


class _Accepted(Endpoint):
    """A client's socket, which asks for its twin as soon as it is there."""

    def __init__(self, proxy: Proxy) -> None:
        super().__init__(proxy._scratch, proxy.buffer_bytes)  # pyright: ignore[reportPrivateUsage]
        self._proxy = proxy

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._proxy.dial_for(self)


def _attributes(entry: Entry) -> str:
    pairs = entry.to_dict()["attributes"].items()
    return " ".join([entry.type, *(f"{k}={v}" for k, v in pairs)])


def _go_words(error: OSError) -> str:
    """The error as Go's net package words it."""
    if isinstance(error, socket.gaierror):
        return "lookup: no such host"
    text = os.strerror(error.errno).lower() if error.errno else str(error)
    return f"bind: {text}" if error.errno in (errno.EADDRINUSE, errno.EACCES, errno.EADDRNOTAVAIL) else text
