"""What the fault panel shows of a fault proxy: read from the proxy, never remembered."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, Protocol

__all__ = ["NOTHING", "Profile", "cables", "delays", "describe_faults", "state_of"]

#: The panel's state for a proxy without faults.
NOTHING: Final[Mapping[str, Any]] = {
    "rtt": 0,
    "jitter": 0,
    "profile": "",
    "pulled": False,
    "down": False,
    "others": [],
}
_STREAMS: Final = {"upstream", "downstream"}


class Profile(Protocol):
    """What the panel needs of a network profile."""

    @property
    def title(self) -> str: ...
    def toxics(self) -> Sequence[Mapping[str, Any]]: ...


def delays(toxics: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the names of the toxics that the sliders and the profiles control."""
    return [toxic["name"] for toxic in toxics if toxic["type"] in ("latency", "bandwidth", "slow_open")]


def cables(toxics: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the names of the toxics that let nothing through."""
    return [toxic["name"] for toxic in toxics if toxic["type"] in ("blackhole", "stall")]


def state_of(status: Mapping[str, Any], profiles: Mapping[str, Profile]) -> dict[str, Any]:
    """Return the state that the panel's controls are to show.

    Parameters
    ----------
    status : mapping
        The proxy as its API shows it: ``enabled`` and ``toxics``, whoever added them.
    profiles : mapping of str to Profile
        The network profiles, by name.

    Returns
    -------
    dict
        ``rtt`` and ``jitter`` in ms, all delays together; ``profile``, a name or empty;
        ``pulled``, ``down``; ``others``: toxics that have no control here, in words.

    Examples
    --------
    >>> half = {"type": "latency", "attributes": {"latency": 50, "jitter": 0}}
    >>> toxics = [{**half, "name": "a", "stream": "upstream"}, {**half, "name": "b", "stream": "downstream"}]
    >>> state_of({"enabled": True, "toxics": toxics}, {})["rtt"]
    100
    """
    toxics: list[Mapping[str, Any]] = list(status["toxics"])
    profile = next((name for name, known in profiles.items() if _is_at_work(known, toxics)), "")
    stopped = {toxic["stream"] for toxic in toxics if toxic["name"] in cables(toxics)}
    pulled = stopped == _STREAMS
    rest: list[Mapping[str, Any]] = []
    rtt = jitter = 0
    for toxic in toxics:
        if toxic["type"] == "latency" and not profile:
            rtt += toxic["attributes"].get("latency", 0)
            jitter += toxic["attributes"].get("jitter", 0)
        elif not (profile and toxic["name"] in delays(toxics)) and not (
            pulled and toxic["name"] in cables(toxics)
        ):
            rest.append(toxic)
    others = [f"{toxic['type']} {toxic['stream']}".replace("_", " ") for toxic in rest]
    down = not status["enabled"]
    return {
        "rtt": rtt,
        "jitter": jitter,
        "profile": profile,
        "pulled": pulled,
        "down": down,
        "others": others,
    }


def describe_faults(state: Mapping[str, Any]) -> str:
    """Return the faults of a state in one line.

    Examples
    --------
    >>> describe_faults({**NOTHING, "rtt": 80})
    'delayed by 80 ± 0 ms'
    """
    parts: list[str] = []
    if state["down"]:
        parts.append("the server looks down: connections are refused")
    if state["pulled"]:
        parts.append("the cable is pulled: nothing passes, and nobody is told")
    if state["profile"]:
        parts.append(f"network: {state['profile']}")
    if state["rtt"] or state["jitter"]:
        parts.append(f"delayed by {state['rtt']:g} ± {state['jitter']:g} ms")
    return "; ".join([*parts, *state["others"]]) or "nothing is in the way"


def _is_at_work(profile: Profile, toxics: Sequence[Mapping[str, Any]]) -> bool:
    """Return whether the proxy's delays are exactly those of a profile."""
    wanted = {body["name"]: body for body in profile.toxics()}
    found = {toxic["name"]: toxic for toxic in toxics}
    return set(delays(toxics)) == set(wanted) and all(
        found[name]["attributes"].get(key) == value
        for name, body in wanted.items()
        for key, value in body["attributes"].items()
    )
