"""Controls one proxy in the fault proxy's process over the HTTP API."""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, Literal, Self

from rtlab.errors import InvalidState, MessageError
from rtlab.faults.client.fault_context_manager import Fault
from rtlab.faults.errors import FaultError
from rtlab.protocol.json_and_messagepack_codecs import parse_json

if TYPE_CHECKING:
    import httpx

    from rtlab.faults.seeded_fault_timeline import Stream

__all__ = ["RemoteProxy"]


class RemoteProxy:
    """A proxy and its toxics by their names in the API; `FaultClient` adds a method for each fault.

    Parameters
    ----------
    api_url : str
        Base URL of the API.
    token : str or None
        The API's token; None when the API requires none.
    upstream_host, upstream_port
        The server that the proxy stands in front of.
    name : str
        Name of the proxy.
    protocol : str
        ``"tcp"``, or ``"udp"`` for a relay of datagrams.
    timeout : float
        Seconds that a call of the API may take.
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
        self.token = token
        self._http: httpx.AsyncClient | None = None
        self._listen = ""

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name}: {'started' if self._listen else 'not started'}>"

    # Life
    async def start(self, *, seed: int = 0, buffer_bytes: int | None = None) -> Self:
        """Create the proxy on a free port; replaces an existing proxy of the same name.

        Parameters
        ----------
        seed : int
            Seed of everything random in the proxy.
        buffer_bytes : int or None
            Size of each socket's buffers; small ones make backpressure show early. None leaves it
            to the kernel.
        """
        if self._http is None:
            import httpx

            headers = {"User-Agent": "rtlab"}
            if self.token:
                headers["Authorization"] = f"Bearer {self.token}"
            # The API is plain HTTP: to load a machine's certificates would take 20 ms for each proxy.
            self._http = httpx.AsyncClient(
                base_url=self.api_url, headers=headers, timeout=self.timeout, trust_env=False, verify=False
            )
        body = {
            "name": self.name,
            "listen": "127.0.0.1:0",
            "upstream": self.upstream,
            "protocol": self.protocol,
            "seed": seed,
            "buffer_bytes": buffer_bytes,
        }
        try:
            answer = await self.call("POST", "/populate", [body])
        except BaseException:  # an interrupt too: the proxy may have received the request
            await self.close()
            raise
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

    async def __aenter__(self) -> Self:
        # `FaultClient.udp` returns a started relay: it keeps its seed and its port.
        return self if self._listen else await self.start()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    @property
    def host(self) -> str:
        return self._address()[0]

    @property
    def port(self) -> int:
        """The port on which the proxy listens."""
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
        """Return a fault of any one toxic, by its type and attributes in the API.

        Parameters
        ----------
        kind : str
            Type of the toxic, such as ``"slicer"``; see `rtlab.faults.toxics`.
        stream : str or None
            ``"upstream"``, ``"downstream"`` or ``"both"``; None is the toxic's default.
        name : str or None
            Name of the toxic; by default its kind, with the stream if given. A second toxic of the
            same kind needs a name.
        toxicity : float
            Share of connections that the toxic affects, 0 to 1.
        **attributes
            Attributes of the toxic, in the units of the API (ms, KB/s, bytes); None is left out.
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
        return self.fault(words, bodies)

    def fault(self, words: str, bodies: Sequence[dict[str, Any]]) -> Fault:
        """Return a fault of several toxics that are added and removed together."""

        async def begin() -> None:
            await self.put(*bodies)

        async def end() -> None:
            for body in reversed(bodies):
                await self.remove(body["name"])

        return Fault(words, begin, end)

    async def put(self, *bodies: dict[str, Any]) -> None:
        """Add toxics; update those that exist already."""
        for body in bodies:
            await self._put(body)

    async def _put(self, body: dict[str, Any]) -> None:
        try:
            await self.call("POST", f"/proxies/{self.name}/toxics", body)
        except FaultError as error:
            if error.status != 409:
                raise
            await self.call("PATCH", f"/proxies/{self.name}/toxics/{body['name']}", body)

    async def remove(self, name: str) -> None:
        """Remove a toxic by name; removing an unknown one is no error."""
        try:
            await self.call("DELETE", f"/proxies/{self.name}/toxics/{name}")
        except FaultError as error:
            if error.status != 404:
                raise

    async def status(self) -> dict[str, Any]:
        """The proxy as the API shows it now: addresses, ``enabled``, ``toxics``."""
        return await self.call("GET", f"/proxies/{self.name}")

    async def toxics(self) -> list[dict[str, Any]]:
        """The toxics of the proxy, as the API shows them."""
        return await self.call("GET", f"/proxies/{self.name}/toxics")

    async def call(self, method: str, path: str, body: Any = None) -> Any:
        """Make one request to the API, and return the decoded body of the response.

        Raises
        ------
        FaultError
            With the proxy's message and status; 503 when it does not answer, 502 for an answer
            that is not JSON.
        """
        if self._http is None:
            raise InvalidState("a started FaultClient", "one that is not", "`await client.start()` first")
        import httpx

        try:
            response = await self._http.request(method, path, json=body)
        except httpx.HTTPError as error:
            raise FaultError(
                f"the fault proxy does not answer ({type(error).__name__}): does its process still run?", 503
            ) from error
        if response.is_error:
            try:
                message = str(parse_json(response.content)["error"])
            except (MessageError, KeyError, TypeError):
                message = response.text.strip() or response.reason_phrase
            raise FaultError(message, response.status_code)
        try:
            return parse_json(response.content) if response.content else None
        except MessageError as error:
            raise FaultError(f"the fault proxy answered with something else: {error}", 502) from None
