"""Plays a script of faults on a proxy, in the proxy's own process, so that a busy kernel cannot delay it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Any

from rtlab.faults.errors import FaultError
from rtlab.faults.proxy.proxy_base_class import Proxy
from rtlab.faults.seeded_fault_timeline import FaultScript, PlannedStep, toxic_bodies

__all__ = ["Player"]


class Player:
    """Plays one script at a time on one proxy.

    Parameters
    ----------
    sleep : callable
        Coroutine function that is awaited with the seconds until the next action.
    """

    def __init__(self, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep) -> None:
        self._sleep = sleep
        self._task: asyncio.Task[None] | None = None
        self._script: FaultScript | None = None
        self._proxy: Proxy | None = None
        self._done = 0
        self._error = ""

    def status(self) -> dict[str, Any]:
        running = self._task is not None and not self._task.done()
        script = self._script
        return {
            "running": running,
            "name": script.name if script else "",
            "proxy": self._proxy.name if self._proxy else "",
            "seed": script.seed if script else 0,
            "done": self._done,
            "actions": len(script.timeline()) if script else 0,
            "duration": script.duration if script else 0.0,
            "error": self._error,
        }

    async def start(self, proxy: Proxy, script: FaultScript) -> None:
        """Stop the present script and start `script`: renumbers connections, and restarts random draws."""
        await self.stop()
        self._script, self._proxy, self._done, self._error = script, proxy, 0, ""
        proxy.reseed(script.seed)
        proxy.trace.add("script_started", proxy.name, detail=f"{script.name} seed={script.seed}".strip())
        self._task = asyncio.get_running_loop().create_task(self._play(proxy, script))

    async def stop(self) -> None:
        """Stop the script; actions that were carried out are not undone."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
            self._task = None

    async def _play(self, proxy: Proxy, script: FaultScript) -> None:
        loop = asyncio.get_running_loop()
        begin = loop.time()
        how = "stopped"
        try:
            acting: dict[str, int] = {}
            for action in script.timeline():
                await self._sleep(max(0.0, begin + action.at - loop.time()))
                proxy.trace.add("script_step", proxy.name, detail=action.words)
                await _perform(proxy, action, acting)
                self._done += 1
            how = "complete"
        except FaultError as error:  # for instance, another program has taken the port
            how = self._error = error.message
        finally:
            proxy.trace.add("script_ended", proxy.name, detail=how)


async def _perform(proxy: Proxy, action: PlannedStep, acting: dict[str, int]) -> None:
    """Carry out one action. Removing a toxic that is already gone is no error.

    Parameters
    ----------
    proxy : Proxy
        The proxy to act on.
    action : PlannedStep
        The action to carry out.
    acting : dict of str to int
        Name of a toxic → the turn that added it; ``""`` → the turn that stopped listening. An undo
        reverts only the action of its own turn, not a later one on the same toxic, still in force.
    """
    step = action.step
    if step.do == "add":
        for body in toxic_bodies(step):
            name = body["name"]
            if action.undo and acting.get(name) != action.turn:
                continue
            if any(entry.name == name for entry in proxy.entries):
                proxy.remove_toxic(name)
            if not action.undo:
                proxy.add_toxic(body)
                acting[name] = action.turn
    elif step.do == "down":
        if not action.undo:
            acting[""] = action.turn
            await proxy.stop("rst")
        elif acting.get("") == action.turn:
            del acting[""]
            await proxy.start()
    elif step.do == "up":
        acting.pop("", None)
        await proxy.start()
    elif step.do == "cut":
        proxy.cut(step.how)
    elif step.do == "restore":
        acting.clear()
        await proxy.start()
        proxy.reset_toxics()
    elif step.do == "update":
        proxy.update_toxic(step.name, {"attributes": step.attributes, "toxicity": step.toxicity})
    elif step.do == "remove":
        acting.pop(step.name, None)
        if any(entry.name == step.name for entry in proxy.entries):
            proxy.remove_toxic(step.name)
