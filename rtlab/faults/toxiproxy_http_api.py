"""Toxiproxy's HTTP API, and what rtlab adds to it.

The paths, field names, status codes and error bodies are those of Toxiproxy 2.12, so
that its clients work unchanged. rtlab adds ``POST /proxies/{p}/cut``,
``GET /trace``, ``GET|POST|DELETE /script``, and the optional token.
"""

from __future__ import annotations

import hmac
import json
from typing import Any, Final

import msgspec
from aiohttp import web
from aiohttp.typedefs import Handler

from rtlab.faults.errors import FaultError, bad_request
from rtlab.faults.proxy.proxy_base_class import Proxy
from rtlab.faults.proxy.proxy_collection import Collection
from rtlab.faults.script_player import Player
from rtlab.faults.seeded_fault_timeline import FaultScript
from rtlab.faults.toxiproxy_json import lower_case_fields, read_json
from rtlab.protocol.origin_and_host_headers import host_allowed

__all__ = ["VERSION", "make_app"]

VERSION: Final = "2.12.0+rtlab"  # the version of Toxiproxy whose API is implemented
MAX_BODY_BYTES: Final = 4 * 1024 * 1024


def make_app(
    collection: Collection, token: str | None = None, player: Player | None = None
) -> web.Application:
    """The API as an aiohttp application.

    Parameters
    ----------
    collection : Collection
        The proxies that the API controls.
    token : str or None
        If given, every request must carry ``Authorization: Bearer <token>`` (or
        ``X-Rtlab-Token``). Toxiproxy's clients send none.
    player : Player, optional
        Plays the scripts that ``POST /script`` starts; None makes a new one. Pass one in to
        start a script on it without the API.
    """
    api = Api(collection, player or Player())
    app = web.Application(middlewares=[_access(token), _errors], client_max_size=MAX_BODY_BYTES)
    app.router.add_routes(
        [
            web.get("/proxies", api.index, allow_head=False),
            web.post("/proxies", api.create),
            web.post("/populate", api.populate),
            web.post("/reset", api.reset),
            web.get("/proxies/{proxy}", api.show, allow_head=False),
            web.post("/proxies/{proxy}", api.update),
            web.patch("/proxies/{proxy}", api.update),
            web.delete("/proxies/{proxy}", api.delete),
            web.get("/proxies/{proxy}/toxics", api.toxics, allow_head=False),
            web.post("/proxies/{proxy}/toxics", api.add_toxic),
            web.get("/proxies/{proxy}/toxics/{toxic}", api.show_toxic, allow_head=False),
            web.post("/proxies/{proxy}/toxics/{toxic}", api.update_toxic),
            web.patch("/proxies/{proxy}/toxics/{toxic}", api.update_toxic),
            web.delete("/proxies/{proxy}/toxics/{toxic}", api.remove_toxic),
            web.get("/version", api.version, allow_head=False),
            web.get("/metrics", api.metrics, allow_head=False),
            # rtlab's own
            web.post("/proxies/{proxy}/cut", api.cut),
            web.get("/trace", api.trace, allow_head=False),
            web.get("/script", api.script, allow_head=False),
            web.post("/script", api.play),
            web.delete("/script", api.stop_script),
        ]
    )
    app.on_cleanup.append(api.cleanup)
    return app


def _access(token: str | None) -> Any:
    @web.middleware
    async def check(request: web.Request, handler: Handler) -> web.StreamResponse:
        """Refuse requests from web pages, including those that use DNS rebinding, and wrong tokens."""
        headers = request.headers
        host = headers.get("Host")
        if host is not None and not host_allowed(host, frozenset()):
            return web.Response(text=f"Host {host!r:.100} is not this API: use its address\n", status=403)
        if headers.get("User-Agent", "").startswith("Mozilla/"):
            return web.Response(text="User agent not allowed\n", status=403)
        # Node's fetch sends Sec-Fetch-Mode as well, but only browsers send Sec-Fetch-Site.
        if "Origin" in headers or "Sec-Fetch-Site" in headers:
            return web.Response(text="Requests from web pages are not allowed\n", status=403)
        if token is not None:
            scheme, _, bearer = headers.get("Authorization", "").partition(" ")
            given = bearer.strip() if scheme.lower() == "bearer" else headers.get("X-Rtlab-Token", "")
            # aiohttp keeps bytes that are not UTF-8 as surrogates.
            if not hmac.compare_digest(given.encode(errors="surrogateescape"), token.encode()):
                return _error(FaultError("missing or wrong token", 401))
        return await handler(request)

    return check


@web.middleware
async def _errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except FaultError as error:
        return _error(error)
    except web.HTTPNotFound:
        return web.Response(text="404 page not found\n", status=404)  # the body that Go's router sends
    except web.HTTPMethodNotAllowed as error:
        return web.Response(status=405, headers={"Allow": error.headers["Allow"]})


def _error(error: FaultError) -> web.Response:
    body = json.dumps({"error": error.message, "status": error.status}, separators=(",", ":"))
    return web.Response(text=body + "\n", status=error.status, content_type="application/json")


def _json(value: Any, status: int = 200) -> web.Response:
    return web.Response(body=msgspec.json.encode(value), status=status, content_type="application/json")


async def _body(request: web.Request) -> Any:
    return read_json(await request.read())


class Api:
    """One method for each route."""

    def __init__(self, collection: Collection, player: Player) -> None:
        self.collection = collection
        self.player = player

    def _proxy(self, request: web.Request) -> Proxy:
        return self.collection.get(request.match_info["proxy"])

    # Proxies
    async def index(self, request: web.Request) -> web.Response:
        return _json({name: proxy.to_dict() for name, proxy in self.collection.proxies.items()})

    async def create(self, request: web.Request) -> web.Response:
        proxy = await self.collection.create(await _body(request))
        return _json(proxy.to_dict(), 201)

    async def populate(self, request: web.Request) -> web.Response:
        try:
            proxies = await self.collection.populate(await _body(request))
        except FaultError as error:
            return _json({"error": error.message, "status": error.status, "proxies": None}, error.status)
        return _json({"proxies": [proxy.to_dict() for proxy in proxies]}, 201)

    async def reset(self, request: web.Request) -> web.Response:
        await self.player.stop()
        await self.collection.reset()
        return web.Response(status=204)

    async def show(self, request: web.Request) -> web.Response:
        return _json(self._proxy(request).to_dict())

    async def update(self, request: web.Request) -> web.Response:
        proxy = self._proxy(request)
        await self.collection.update(proxy, await _body(request))
        return _json(proxy.to_dict())

    async def delete(self, request: web.Request) -> web.Response:
        await self.collection.remove(request.match_info["proxy"])
        return web.Response(status=204)

    # Toxics
    async def toxics(self, request: web.Request) -> web.Response:
        return _json([entry.to_dict() for entry in self._proxy(request).in_order()])

    async def add_toxic(self, request: web.Request) -> web.Response:
        proxy = self._proxy(request)
        return _json(proxy.add_toxic(await _body(request)).to_dict())

    async def show_toxic(self, request: web.Request) -> web.Response:
        return _json(self._proxy(request).toxic(request.match_info["toxic"]).to_dict())

    async def update_toxic(self, request: web.Request) -> web.Response:
        proxy = self._proxy(request)
        proxy.toxic(request.match_info["toxic"])  # an unknown toxic is a 404, even with a bad body
        return _json(proxy.update_toxic(request.match_info["toxic"], await _body(request)).to_dict())

    async def remove_toxic(self, request: web.Request) -> web.Response:
        self._proxy(request).remove_toxic(request.match_info["toxic"])
        return web.Response(status=204)

    # About the process
    async def version(self, request: web.Request) -> web.Response:
        return web.Response(
            text=f'{{"version": "{VERSION}"}}\n', content_type="application/json", charset="utf-8"
        )

    async def metrics(self, request: web.Request) -> web.Response:
        return web.Response(text=self.collection.metrics(), content_type="text/plain", charset="utf-8")

    # rtlab's own
    async def cut(self, request: web.Request) -> web.Response:
        body = lower_case_fields(await _body(request) if request.can_read_body else {})
        how = body.get("how", "rst")
        if how not in ("rst", "fin"):
            raise bad_request('how must be "rst" or "fin"')
        return _json({"connections": self._proxy(request).cut(how)})

    async def trace(self, request: web.Request) -> web.Response:
        since = request.query.get("since", "0")
        if not since.isascii() or not since.isdigit() or len(since) > 18:
            raise bad_request("since must be a number")
        trace = self.collection.trace
        return _json({"events": trace.since(int(since)), "next": trace.next, "dropped": trace.dropped})

    async def script(self, request: web.Request) -> web.Response:
        return _json(self.player.status())

    async def play(self, request: web.Request) -> web.Response:
        body = lower_case_fields(await _body(request))
        proxy = self.collection.get(str(body.get("proxy", "")))
        await self.player.start(proxy, FaultScript.from_dict(body.get("script"), proxy.protocol))
        return _json(self.player.status(), 201)

    async def stop_script(self, request: web.Request) -> web.Response:
        await self.player.stop()
        return web.Response(status=204)

    async def cleanup(self, app: web.Application) -> None:
        await self.player.stop()
        await self.collection.close()
