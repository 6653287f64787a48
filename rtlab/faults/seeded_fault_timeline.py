"""A timeline of faults with a seed, so that a failure can be repeated exactly.

The seed determines every random choice of the script and of the toxics that it
adds: two runs against the same traffic leave the same trace.
"""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any, Final, Literal

import msgspec

from rtlab.faults.errors import bad_request
from rtlab.faults.toxics import parse_entry
from rtlab.faults.toxics.toxic_registry_and_base_classes import Number
from rtlab.faults.toxiproxy_json import read_json

__all__ = ["FaultScript", "PlannedStep", "ScriptStep", "Stream", "toxic_bodies"]

Span = Number | tuple[Number, Number]  # from a pair, a value is drawn uniformly
Stream = Literal["upstream", "downstream", "both"]
MAX_ACTIONS: Final = 10_000
MAX_TIME: Final = 24 * 3600.0


class ScriptStep(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """One step of a script.

    Attributes
    ----------
    at : float or (float, float)
        Seconds from the start; from a pair, a value is drawn uniformly.
    do : str
        ``add``, ``update`` or ``remove`` a toxic; ``cut`` all connections;
        ``down`` and ``up`` (stop listening, listen again); ``restore``
        (no toxics, listening); ``mark`` (only a line in the trace).
    toxic : str
        Type of the toxic to add.
    name : str
        Name of the toxic to add, update or remove; for ``add``, ``{toxic}_{stream}`` by default.
    stream : str
        ``upstream``, ``downstream`` or ``both``.
    attributes : dict
        Attributes of the toxic, in the units of the API.
    toxicity : float
        Share of connections that the toxic affects, 0 to 1.
    how : str
        How to cut: ``rst`` or ``fin``.
    lasting : float or (float, float) or None
        Seconds after which an ``add`` or ``down`` is undone (``"for"`` in JSON).
    every : float or None
        Seconds between repetitions of the step; None does it once.
    times : int
        How often the step is done in all, with `every`.
    text : str
        A remark for people, which goes into the trace.
    """

    at: Span = 0
    do: Literal["add", "update", "remove", "cut", "down", "up", "restore", "mark"]
    toxic: str = ""
    name: str = ""
    stream: Stream = "downstream"
    attributes: dict[str, Any] = {}
    toxicity: Number = 1
    how: Literal["rst", "fin"] = "rst"
    lasting: Span | None = msgspec.field(default=None, name="for")
    every: Number | None = None
    times: int = 1
    text: str = ""


class PlannedStep(msgspec.Struct, frozen=True):
    """A step after its random draws: what will be done, at how many seconds from the start."""

    at: float
    step: ScriptStep
    undo: bool = False
    turn: int = 0  # an action and its undo share the number

    @property
    def words(self) -> str:
        step = self.step
        parts = [f"{self.at:.3f}", "undo " * self.undo + step.do, step.toxic, step.name, step.text]
        return " ".join(part for part in parts if part)


class FaultScript(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, forbid_unknown_fields=True):
    """A seeded timeline of faults.

    Parameters
    ----------
    name, about : str
        Title and description, for people.
    seed : int
        Seed of every random choice.
    steps : tuple of ScriptStep
        The steps, in any order.

    Examples
    --------
    >>> script = (
    ...     FaultScript(seed=7)
    ...     .add((0.5, 1.5), "latency", lasting=2.0, latency=200, jitter=50)
    ...     .cut(4.0)
    ...     .down(5.0, lasting=1.0)
    ... )
    >>> [a.step.do for a in script.timeline()]
    ['add', 'add', 'cut', 'down', 'down']
    """

    name: str = ""
    about: str = ""
    seed: int = 0
    steps: tuple[ScriptStep, ...] = ()

    # Build
    def then(self, step: ScriptStep) -> FaultScript:
        """The script with one more step."""
        return msgspec.structs.replace(self, steps=(*self.steps, step))

    def add(
        self,
        at: Span,
        toxic: str,
        *,
        stream: Stream = "downstream",
        lasting: Span | None = None,
        **attributes: Any,
    ) -> FaultScript:
        """Add a toxic at `at` seconds, for `lasting` seconds (``None``: permanently)."""
        return self.then(
            ScriptStep(at=at, do="add", toxic=toxic, stream=stream, lasting=lasting, attributes=attributes)
        )

    def cut(self, at: Span, how: Literal["rst", "fin"] = "rst") -> FaultScript:
        """End every connection at `at` seconds."""
        return self.then(ScriptStep(at=at, do="cut", how=how))

    def down(self, at: Span, *, lasting: Span | None = None) -> FaultScript:
        """Stop listening at `at` seconds; new connections are refused."""
        return self.then(ScriptStep(at=at, do="down", lasting=lasting))

    def restore(self, at: Span) -> FaultScript:
        """Remove every toxic and listen again."""
        return self.then(ScriptStep(at=at, do="restore"))

    def mark(self, at: Span, text: str) -> FaultScript:
        """Leave a line in the trace, and do nothing else."""
        return self.then(ScriptStep(at=at, do="mark", text=text))

    # Read and write
    @classmethod
    def from_dict(cls, value: Any, protocol: str = "tcp") -> FaultScript:
        """A script from JSON data, for a proxy of this protocol.

        Raises
        ------
        FaultError
            400, when the data are not a script. Toxics and their attributes are checked
            now too, so that a script does not fail half-way.
        """
        try:
            script = msgspec.convert(value, cls)
        except msgspec.ValidationError as error:
            raise bad_request(f"script: {error}") from None
        return script.checked(protocol)

    def checked(self, protocol: str = "tcp") -> FaultScript:
        """Return this script if it is valid; raise `FaultError` otherwise."""
        for step in self.steps:
            _check(step, protocol)
        _check_order(self.timeline())
        return self

    @classmethod
    def load(cls, path: str | Path) -> FaultScript:
        """Read a JSON file.

        Raises
        ------
        FaultError
            400, when the file does not hold a script.
        FileNotFoundError
            When there is no such file.
        """
        return cls.from_dict(read_json(Path(path).read_bytes()))

    def to_dict(self) -> dict[str, Any]:
        return msgspec.to_builtins(self)

    # Run
    def timeline(self) -> list[PlannedStep]:
        """All actions in order of time; equal for equal seeds."""
        rng = random.Random(f"script/{self.seed}")
        actions: list[PlannedStep] = []
        for step in self.steps:
            for i in range(step.times if step.every is not None else 1):
                if len(actions) >= MAX_ACTIONS:
                    raise bad_request(f"script: more than {MAX_ACTIONS} actions")
                at = _draw(step.at, rng) + i * (step.every or 0)
                turn = len(actions)
                actions.append(PlannedStep(at, step, turn=turn))
                if step.lasting is not None:
                    actions.append(PlannedStep(at + _draw(step.lasting, rng), step, undo=True, turn=turn))
        return sorted(actions, key=lambda action: action.at)

    @property
    def duration(self) -> float:
        """Seconds from the start to the last action."""
        return max((action.at for action in self.timeline()), default=0.0)


#: Field of a step → the values of `ScriptStep.do` that use it. All actions use the fields not listed.
_BELONGS: Final[dict[str, tuple[str, ...]]] = {
    "toxic": ("add",),
    "name": ("add", "update", "remove"),
    "stream": ("add",),
    "attributes": ("add", "update"),
    "toxicity": ("add", "update"),
    "how": ("cut",),
    "lasting": ("add", "down"),
}


def _draw(span: Span, rng: random.Random) -> float:
    return float(rng.uniform(*span) if isinstance(span, tuple) else span)


def _check(step: ScriptStep, protocol: str) -> None:
    spans = [step.at, 0 if step.lasting is None else step.lasting, step.every or 0]
    ends = [end for span in spans for end in (span if isinstance(span, tuple) else (span,))]
    if not all(0 <= end <= MAX_TIME for end in ends):
        raise bad_request(f"script: times must be from 0 to {MAX_TIME:.0f} s, got {ends}")
    for span in spans:
        if isinstance(span, tuple) and span[0] > span[1]:
            raise bad_request(f"script: a span begins before it ends, got {list(span)}")
    if step.times < 1:
        raise bad_request(f"script: times must be at least 1, got {step.times}")
    if (step.every is None) != (step.times == 1):
        raise bad_request('script: "every" and "times" (2 or more) go together')
    plain = ScriptStep(do=step.do)
    for field, allowed in _BELONGS.items():
        if step.do not in allowed and getattr(step, field) != getattr(plain, field):
            word = "for" if field == "lasting" else field
            raise bad_request(f'script: "{word}" goes with {" and ".join(allowed)}, not with {step.do}')
    if step.do == "add":
        for body in toxic_bodies(step):
            parse_entry(body, protocol)
    if step.do in ("update", "remove") and not step.name:
        raise bad_request(f"script: {step.do} needs the name of a toxic")


def _check_order(timeline: list[PlannedStep]) -> None:
    """Refuse to update or remove one of the script's own toxics at a time when it is not in place."""
    own = {
        body["name"] for action in timeline if action.step.do == "add" for body in toxic_bodies(action.step)
    }
    present: dict[str, int] = {}
    for action in timeline:
        step = action.step
        if step.do == "add":
            for body in toxic_bodies(step):
                if not action.undo:
                    present[body["name"]] = action.turn
                elif present.get(body["name"]) == action.turn:
                    del present[body["name"]]
        elif step.do == "restore":
            present.clear()
        elif step.do in ("update", "remove") and step.name in own:
            if step.name not in present:
                raise bad_request(
                    f"script: {step.do} {step.name} at {action.at:g} s, when it is not there: "
                    "it is added later, or has ended by then"
                )
            if step.do == "remove":
                del present[step.name]


def toxic_bodies(step: ScriptStep) -> list[dict[str, Any]]:
    """Request bodies for the one or two toxics of an ``add`` step."""
    streams = ("upstream", "downstream") if step.stream == "both" else (step.stream,)
    return [
        {
            "type": step.toxic,
            "name": (f"{step.name}_{stream}" if len(streams) > 1 else step.name)
            if step.name
            else f"{step.toxic}_{stream}",
            "stream": stream,
            "toxicity": step.toxicity,
            "attributes": step.attributes,
        }
        for stream in streams
    ]
