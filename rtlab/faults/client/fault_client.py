"""The fault proxy's client for notebooks: each fault is one line."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Literal

import msgspec

from rtlab.faults.client.fault_context_manager import Fault
from rtlab.faults.client.remote_proxy import RemoteProxy
from rtlab.faults.errors import FaultError
from rtlab.faults.fault_trace import TraceEvent
from rtlab.faults.network_profiles import NetworkProfile, load_profiles, profile

if TYPE_CHECKING:
    import pandas as pd  # pyright: ignore[reportMissingTypeStubs]

    from rtlab.faults.seeded_fault_timeline import FaultScript, Stream

__all__ = ["FaultClient"]

DISCARD_PORT: Final = 9  # RFC 863: the discard service never answers


class FaultClient(RemoteProxy):
    """Client of a lab's fault proxy, with a method for each fault. Takes the parameters of `RemoteProxy`.

    Examples
    --------
    ::

        await lab.faults.latency(200, jitter=50)
        await lab.faults.cut()
        async with lab.faults.blackhole():
            ...
        await lab.faults.restore()
        await lab.faults.trace()
    """

    # Delay and rate
    def latency(self, ms: float, *, jitter: float = 0, stream: Stream = "downstream") -> Fault:
        """Delay everything from the server by `ms` ± `jitter` milliseconds."""
        return self.toxic("latency", stream=stream, latency=ms, jitter=jitter)

    def rtt(self, ms: float, *, handshake: bool = False) -> Fault:
        """Lengthen the round trip by `ms` milliseconds, half in each direction; 0 ends it.

        Parameters
        ----------
        ms : float
            Milliseconds to add, at least 0.
        handshake : bool
            Also hold the first bytes of each new connection for `ms`: in place of the round trip
            of TCP's handshake, which the proxy's kernel completes at once.
        """
        half = {"type": "latency", "attributes": {"latency": ms / 2}}
        bodies: list[dict[str, Any]] = [
            {**half, "name": f"rtt_{stream}", "stream": stream} for stream in ("upstream", "downstream")
        ]
        if handshake:  # ahead of the latency, in the order of the toxics
            bodies.insert(0, {"type": "slow_open", "name": "rtt_handshake", "attributes": {"delay": ms}})

        async def begin() -> None:
            if handshake or not ms:
                await self._no_rtt()
            if ms:
                await self.put(*bodies)

        return Fault(f"rtt {ms:g} ms", begin, self._no_rtt)

    async def _no_rtt(self) -> None:
        for name in ("rtt_upstream", "rtt_downstream", "rtt_handshake"):
            await self.remove(name)

    def bandwidth(self, kb_per_s: float, *, stream: Stream = "downstream") -> Fault:
        """Let at most `kb_per_s` kilobytes (1,000 bytes) a second through."""
        return self.toxic("bandwidth", stream=stream, rate=kb_per_s)

    def profile(self, name: str) -> Fault:
        """Imitate a published network profile, such as ``"3g"``; see `rtlab.faults.network_profiles`."""
        chosen = profile(name)
        return self.fault(f"profile {name}", chosen.toxics())

    @property
    def profiles(self) -> dict[str, NetworkProfile]:
        """All published network profiles by name, with their sources."""
        return load_profiles()

    # The cable
    async def cut(self, how: Literal["rst", "fin"] = "rst") -> int:
        """End every connection now; returns how many. New ones are accepted."""
        answer = await self.call("POST", f"/proxies/{self.name}/cut", {"how": how})
        return answer["connections"]

    def down(self) -> Fault:
        """End every connection and refuse new ones, until `restore` or the end of the block."""

        async def begin() -> None:
            await self.call("PATCH", f"/proxies/{self.name}", {"enabled": False})

        async def end() -> None:
            await self.call("PATCH", f"/proxies/{self.name}", {"enabled": True})

        return Fault("down", begin, end)

    def stall(self, *, stream: Stream = "both") -> Fault:
        """Stop reading, so that all data wait and arrive late: a cable that is unplugged for a moment."""
        return self.toxic("stall", stream=stream)

    def blackhole(self, *, stream: Stream = "both") -> Fault:
        """Swallow all data silently: a path that died."""
        return self.toxic("blackhole", stream=stream)

    async def restore(self) -> None:
        """Stop a script, remove every toxic, and listen again: for all proxies of the process."""
        await self.call("POST", "/reset")

    # Middleboxes
    def strip_upgrade(self) -> Fault:
        """Make WebSocket handshakes fail, as through an old proxy."""
        return self.toxic("strip_upgrade")

    def hang_upgrade(self) -> Fault:
        """Leave WebSocket handshakes without an answer."""
        return self.toxic("hang_upgrade")

    def buffer_response(self, *, bytes: int = 0, seconds: float = 0.0, hold_head: bool = False) -> Fault:
        """Hold each response body until it ends, `bytes` bytes have come, or `seconds` have passed."""
        return self.toxic("buffer_response", bytes=bytes, timeout=seconds * 1000, hold_head=hold_head)

    def http_status(
        self, status: int = 503, *, times: int = 0, retry_after: float | None = None, path: str = ""
    ) -> Fault:
        """Answer `times` requests (0: all) with `status` in place of the server."""
        return self.toxic("http_status", status=status, times=times, retry_after=retry_after, path=path)

    def duplicate_request(self, *, method: str = "POST", path: str = "") -> Fault:
        """Send each request of a method twice, as a proxy does that retries too early."""
        return self.toxic("duplicate_request", method=method, path=path)

    # Datagrams
    async def udp(
        self, port: int = DISCARD_PORT, host: str = "127.0.0.1", *, name: str = "udp", seed: int = 0
    ) -> FaultClient:
        """Start a UDP relay in the fault proxy's process; returns its client, which the caller closes.

        Parameters
        ----------
        port, host
            Upstream of the relay; by default the discard port, until `relay` sets another.
        name : str
            Name of the relay in the API.
        seed : int
            Seed of the relay's randomness, such as its losses.

        Examples
        --------
        ::

            udp = await lab.faults.udp()
            channel = WebRTCChannel(lab.url, relay=udp.relay)
            await udp.loss(0.05)
        """
        relay = FaultClient(
            self.api_url, self.token, host, port, name=name, protocol="udp", timeout=self.timeout
        )
        return await relay.start(seed=seed)

    async def relay(self, port: int) -> int:
        """Forward to another port of the upstream host; returns the relay's port, to send to instead.

        Open flows are ended; the toxics stay.
        """
        self.upstream = f"{self.upstream.rpartition(':')[0]}:{port}"
        await self.call("PATCH", f"/proxies/{self.name}", {"upstream": self.upstream})
        return self.port

    def loss(self, probability: float, *, burst: float = 1, stream: Stream = "downstream") -> Fault:
        """Drop datagrams, in bursts of mean length `burst` (only on a UDP relay)."""
        return self.toxic("loss", stream=stream, probability=probability, burst=burst)

    # Scripts and the trace
    async def play(self, script: FaultScript | dict[str, Any]) -> dict[str, Any]:
        """Start a script in the proxy's process; returns its status at once."""
        value = script if isinstance(script, dict) else script.to_dict()
        return await self.call("POST", "/script", {"proxy": self.name, "script": value})

    async def script_status(self) -> dict[str, Any]:
        """Whether a script runs, how many of its actions are done, and how many it has."""
        return await self.call("GET", "/script")

    async def stop_script(self) -> None:
        """Stop the script; actions that were carried out are not undone."""
        await self.call("DELETE", "/script")

    async def events(self, since: int = 0) -> list[TraceEvent]:
        """The trace from event number `since` on."""
        answer = await self.call("GET", f"/trace?since={since}")
        try:
            return msgspec.convert(answer["events"], list[TraceEvent])
        except (msgspec.ValidationError, KeyError, TypeError):
            raise FaultError("the fault proxy's trace is unreadable: is it another version?", 502) from None

    async def trace(self, since: int = 0) -> pd.DataFrame:
        """The trace as a table; `t` is in seconds of `time.monotonic`."""
        import pandas as pd  # pyright: ignore[reportMissingTypeStubs]

        columns = TraceEvent.__struct_fields__
        rows = [[getattr(event, c) for c in columns] for event in await self.events(since)]
        return pd.DataFrame(rows, columns=list(columns))
