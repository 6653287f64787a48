"""Faults from a notebook, one line each."""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Literal

import msgspec

from rtlab.errors import InvalidState
from rtlab.faults.errors import FaultError
from rtlab.faults.fault import Fault
from rtlab.faults.profiles import NetworkProfile, load_profiles, profile
from rtlab.faults.trace import TraceEvent

if TYPE_CHECKING:
    import httpx
    import pandas as pd  # pyright: ignore[reportMissingTypeStubs]

    from rtlab.faults.script import FaultScript

__all__ = ["FaultClient"]

Stream = Literal["upstream", "downstream", "both"]
DISCARD_PORT: Final = 9  # RFC 863: nobody answers there


class FaultClient:
    """The fault proxy of a lab.

    Parameters
    ----------
    api_url : str
        Base URL of the proxy's API.
    token : str or None
        Its token.
    upstream_host, upstream_port
        The server that the proxy stands in front of.
    name : str
        Name of the proxy that this client drives.
    protocol : str
        ``"tcp"``, or ``"udp"`` for a relay of datagrams.
    timeout : float
        Seconds that a call of the API may take.

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

    def __init__(
        self,
        api_url: str,
        token: str | None,
        upstream_host: str,
        upstream_port: int,
        *,
        name: str = "lab",
        protocol: Literal["tcp", "udp"] = "tcp",
        timeout: float = 10.0,
    ) -> None:
        self.api_url = api_url.rstrip("/")
        self.name = name
        self.upstream = f"{upstream_host}:{upstream_port}"
        self.protocol = protocol
        self.timeout = timeout
        self._token = token
        self._http: httpx.AsyncClient | None = None
        self._listen = ""

    def __repr__(self) -> str:
        return f"<FaultClient {self.name}: {'started' if self._listen else 'not started'}>"

    # Life
    async def start(self, *, seed: int = 0, buffer_bytes: int | None = None) -> FaultClient:
        """Create the proxy on a free port, in place of one of the same name.

        Parameters
        ----------
        seed : int
            Source of everything random.
        buffer_bytes : int or None
            Size of the socket buffers; small ones make backpressure show early.
        """
        if self._http is None:
            import httpx

            headers = {"User-Agent": "rtlab"}
            if self._token:
                headers["Authorization"] = f"Bearer {self._token}"
            self._http = httpx.AsyncClient(
                base_url=self.api_url, headers=headers, timeout=self.timeout, trust_env=False
            )
        body = {
            "name": self.name,
            "listen": "127.0.0.1:0",
            "upstream": self.upstream,
            "protocol": self.protocol,
            "seed": seed,
            "buffer_bytes": buffer_bytes,
        }
        answer = await self._call("POST", "/populate", [body])
        self._listen = answer["proxies"][0]["listen"]
        return self

    async def close(self) -> None:
        """Remove the proxy, if the process still runs, and close the HTTP client."""
        http, self._http, self._listen = self._http, None, ""
        if http is not None:
            import httpx

            try:
                await http.delete(f"/proxies/{self.name}")
            except httpx.HTTPError:
                pass
            finally:
                await http.aclose()

    async def __aenter__(self) -> FaultClient:
        return await self.start()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def udp(
        self, port: int = DISCARD_PORT, host: str = "127.0.0.1", *, name: str = "udp", seed: int = 0
    ) -> FaultClient:
        """Start a relay for UDP in the same process; returns its client, to be closed.

        Parameters
        ----------
        port, host
            Where the datagrams go, if that is known already: see `relay`.
        name : str
            Of the relay.
        seed : int
            Source of its losses.

        Examples
        --------
        ::

            udp = await lab.faults.udp()
            channel = WebRTCChannel(lab.url, relay=udp.relay)
            await udp.loss(0.05)
        """
        relay = FaultClient(
            self.api_url, self._token, host, port, name=name, protocol="udp", timeout=self.timeout
        )
        return await relay.start(seed=seed)

    async def relay(self, port: int) -> int:
        """Lead to another port of the upstream; returns the port to dial instead.

        What flowed before ends; the toxics stay.
        """
        self.upstream = f"{self.upstream.rpartition(':')[0]}:{port}"
        await self._call("PATCH", f"/proxies/{self.name}", {"upstream": self.upstream})
        return self.port

    @property
    def host(self) -> str:
        return self._address()[0]

    @property
    def port(self) -> int:
        """Port that leads through the proxy."""
        return self._address()[1]

    @property
    def url(self) -> str:
        """``http://host:port`` through the proxy."""
        return f"http://{self.host}:{self.port}"

    @property
    def ws_url(self) -> str:
        """``ws://host:port/ws`` through the proxy, like `Lab.ws_url`."""
        return f"ws://{self.host}:{self.port}/ws"

    def _address(self) -> tuple[str, int]:
        if not self._listen:
            raise InvalidState("a started FaultClient", "one that is not", "`await client.start()` first")
        host, _, port = self._listen.rpartition(":")
        return host, int(port)

    # Any toxic
    def toxic(
        self,
        kind: str,
        *,
        stream: Stream | None = None,
        name: str | None = None,
        toxicity: float = 1.0,
        **attributes: Any,
    ) -> Fault:
        """Any toxic, by its name and attributes in the API.

        Parameters
        ----------
        kind : str
            For instance ``"slicer"``; see `rtlab.faults.toxics`.
        stream : str or None
            ``"upstream"``, ``"downstream"``, ``"both"``, or the toxic's own choice.
        name : str or None
            For a second toxic of the same kind.
        toxicity : float
            Share of connections that it touches.
        **attributes
            Of the toxic, in its units (Toxiproxy's: ms, KB/s, bytes).
        """
        streams = ("upstream", "downstream") if stream == "both" else (stream,)
        bodies: list[dict[str, Any]] = [
            {
                "type": kind,
                "name": "_".join(filter(None, [name or kind, s if not name or stream == "both" else None])),
                "stream": s or "",
                "toxicity": toxicity,
                "attributes": {k: v for k, v in attributes.items() if v is not None},
            }
            for s in streams
        ]
        words = " ".join([kind, *(f"{k}={v}" for k, v in attributes.items() if v is not None)])
        return self._fault(words, bodies)

    def _fault(self, words: str, bodies: Sequence[dict[str, Any]]) -> Fault:
        async def begin() -> None:
            for body in bodies:
                await self._put(body)

        async def end() -> None:
            for body in reversed(bodies):
                await self.remove(body["name"])

        return Fault(words, begin, end)

    async def _put(self, body: dict[str, Any]) -> None:
        try:
            await self._call("POST", f"/proxies/{self.name}/toxics", body)
        except FaultError as error:
            if error.status != 409:
                raise
            await self._call("PATCH", f"/proxies/{self.name}/toxics/{body['name']}", body)

    async def remove(self, name: str) -> None:
        """Remove a toxic by name; one that is gone already is no error."""
        try:
            await self._call("DELETE", f"/proxies/{self.name}/toxics/{name}")
        except FaultError as error:
            if error.status != 404:
                raise

    async def toxics(self) -> list[dict[str, Any]]:
        """The toxics at work, as the API shows them."""
        return await self._call("GET", f"/proxies/{self.name}/toxics")

    # Delay and rate
    def latency(self, ms: float, *, jitter: float = 0, stream: Stream = "downstream") -> Fault:
        """Delay everything from the server by `ms` ± `jitter` milliseconds."""
        return self.toxic("latency", stream=stream, latency=ms, jitter=jitter)

    def rtt(self, ms: float) -> Fault:
        """Lengthen the round trip by `ms` milliseconds, half in each direction; 0 ends it."""
        if not ms:
            return Fault("rtt 0", self._no_rtt, self._no_rtt)
        return self.toxic("latency", stream="both", name="rtt", latency=ms / 2)

    async def _no_rtt(self) -> None:
        await self.remove("rtt_upstream")
        await self.remove("rtt_downstream")

    def bandwidth(self, kb_per_s: float, *, stream: Stream = "downstream") -> Fault:
        """Let at most `kb_per_s` kilobytes (1,000 bytes) a second through."""
        return self.toxic("bandwidth", stream=stream, rate=kb_per_s)

    def profile(self, name: str) -> Fault:
        """Imitate a published network profile, such as ``"3g"``; see `profiles`."""
        chosen = profile(name)
        return self._fault(f"profile {name}", chosen.toxics())

    @property
    def profiles(self) -> dict[str, NetworkProfile]:
        """The network profiles that there are, with their sources."""
        return load_profiles()

    # The cable
    async def cut(self, how: Literal["rst", "fin"] = "rst") -> int:
        """End every connection now; returns how many. New ones are accepted."""
        answer = await self._call("POST", f"/proxies/{self.name}/cut", {"how": how})
        return answer["connections"]

    def down(self) -> Fault:
        """End every connection and refuse new ones, until `restore` or the end of the block."""

        async def begin() -> None:
            await self._call("PATCH", f"/proxies/{self.name}", {"enabled": False})

        async def end() -> None:
            await self._call("PATCH", f"/proxies/{self.name}", {"enabled": True})

        return Fault("down", begin, end)

    def stall(self, *, stream: Stream = "both") -> Fault:
        """Stop reading; everything waits and arrives late: a cable out for a moment."""
        return self.toxic("stall", stream=stream)

    def blackhole(self, *, stream: Stream = "both") -> Fault:
        """Swallow everything and say nothing: a path that died."""
        return self.toxic("blackhole", stream=stream)

    async def restore(self) -> None:
        """Remove every toxic, stop a script, listen again."""
        await self._call("POST", "/reset")

    # Middleboxes
    def strip_upgrade(self) -> Fault:
        """Make WebSocket handshakes fail, as through an old proxy."""
        return self.toxic("strip_upgrade")

    def hang_upgrade(self) -> Fault:
        """Leave WebSocket handshakes without an answer."""
        return self.toxic("hang_upgrade")

    def buffer_response(self, *, bytes: int = 0, seconds: float = 0.0, hold_head: bool = False) -> Fault:
        """Hold response bodies until they end, or `bytes` are there, or `seconds` passed."""
        return self.toxic("buffer_response", bytes=bytes, timeout=seconds * 1000, hold_head=hold_head)

    def http_status(
        self, status: int = 503, *, times: int = 0, retry_after: float | None = None, path: str = ""
    ) -> Fault:
        """Answer `times` requests (0: all) with `status` in place of the server."""
        return self.toxic("http_status", status=status, times=times, retry_after=retry_after, path=path)

    # Datagrams only
    def loss(self, probability: float, *, burst: float = 1, stream: Stream = "downstream") -> Fault:
        """Lose datagrams, in runs of `burst` on average (a relay for UDP only)."""
        return self.toxic("loss", stream=stream, probability=probability, burst=burst)

    # Scripts and the record
    async def play(self, script: FaultScript | dict[str, Any]) -> dict[str, Any]:
        """Start a script in the proxy's process; returns its status at once."""
        value = script if isinstance(script, dict) else script.to_dict()
        return await self._call("POST", "/script", {"proxy": self.name, "script": value})

    async def script_status(self) -> dict[str, Any]:
        """Whether a script runs, how many actions are done, and of how many."""
        return await self._call("GET", "/script")

    async def stop_script(self) -> None:
        """Stop the script where it is."""
        await self._call("DELETE", "/script")

    async def events(self, since: int = 0) -> list[TraceEvent]:
        """The trace from event number `since` on."""
        answer = await self._call("GET", f"/trace?since={since}")
        return msgspec.convert(answer["events"], list[TraceEvent])

    async def trace(self, since: int = 0) -> pd.DataFrame:
        """The trace as a table; `t` is in seconds of `time.monotonic`."""
        import pandas as pd  # pyright: ignore[reportMissingTypeStubs]

        columns = TraceEvent.__struct_fields__
        rows = [[getattr(event, c) for c in columns] for event in await self.events(since)]
        return pd.DataFrame(rows, columns=list(columns))

    async def _call(self, method: str, path: str, body: Any = None) -> Any:
        if self._http is None:
            raise InvalidState("a started FaultClient", "one that is not", "`await client.start()` first")
        response = await self._http.request(method, path, json=body)
        if response.is_error:
            try:
                message = response.json()["error"]
            except (ValueError, KeyError, TypeError):
                message = response.text.strip() or response.reason_phrase
            raise FaultError(message, response.status_code)
        return response.json() if response.content else None
