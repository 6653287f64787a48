"""Published network profiles, with their sources."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from rtlab.faults.errors import FaultError
from rtlab.resources import data_path

__all__ = ["NetworkProfile", "load_profiles", "profile"]


class NetworkProfile(msgspec.Struct, frozen=True):
    """The rates and the round-trip time of one kind of access network.

    Attributes
    ----------
    name, title : str
        The name in programs, and the title for people.
    down_kbit_s, up_kbit_s : float or None
        Rates in kilobits (1,000) per second; ``None``: not limited.
    rtt_ms : float
        Round-trip time in milliseconds.
    source : str
        Who published these numbers, and where.
    """

    name: str
    title: str
    down_kbit_s: float | None
    up_kbit_s: float | None
    rtt_ms: float
    source: str

    def toxics(self) -> list[dict[str, Any]]:
        """Request bodies of the toxics that imitate the profile: half the round trip each way."""
        bodies: list[dict[str, Any]] = []
        for stream, rate in (("upstream", self.up_kbit_s), ("downstream", self.down_kbit_s)):
            if rate is not None:
                bodies.append(_toxic("bandwidth", stream, rate=rate / 8))
            bodies.append(_toxic("latency", stream, latency=self.rtt_ms / 2))
        return bodies


def _toxic(kind: str, stream: str, **attributes: float) -> dict[str, Any]:
    return {"type": kind, "name": f"profile_{kind}_{stream}", "stream": stream, "attributes": attributes}


def load_profiles(path: Path | None = None) -> dict[str, NetworkProfile]:
    """All profiles by name, in the order of the file."""
    with (path or data_path("network_profiles.csv")).open(encoding="utf-8", newline="") as file:
        rows = [_profile(row) for row in csv.DictReader(file)]
    return {row.name: row for row in rows}


def _profile(row: Mapping[str, str]) -> NetworkProfile:
    def rate(text: str) -> float | None:
        return float(text) if text else None

    return NetworkProfile(
        name=row["name"],
        title=row["title"],
        down_kbit_s=rate(row["down_kbit_s"]),
        up_kbit_s=rate(row["up_kbit_s"]),
        rtt_ms=float(row["rtt_ms"]),
        source=row["source"],
    )


def profile(name: str) -> NetworkProfile:
    """One profile.

    Raises
    ------
    FaultError
        404 for an unknown name; the message lists the known ones.
    """
    profiles = load_profiles()
    if name not in profiles:
        raise FaultError(f"no profile {name!r}: take one of {', '.join(profiles)}", 404)
    return profiles[name]
