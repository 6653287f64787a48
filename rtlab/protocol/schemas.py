"""What the payload of a type must look like: JSON Schemas (2020-12), checked alike at both ends."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self, cast

from rtlab.errors import MessageError, RtlabError
from rtlab.protocol.codecs import parse_json
from rtlab.protocol.messages import Message, fields_of
from rtlab.resources import data_path

if TYPE_CHECKING:
    import jsonschema_rs

__all__ = ["SchemaError", "Schemas"]

_FILE: Final = re.compile(r"(?P<type>[^.]+)(?:\.v(?P<version>[1-9][0-9]{0,3}))?\.json")

#: Characters of a failing path that are shown: its keys are the sender's own words.
MAX_PATH_CHARS: Final = 120


class SchemaError(RtlabError):
    """A file that is no JSON Schema, or a folder without any."""


class Schemas:
    """The schemas of payloads, by message type and version.

    A payload says its version as ``"v": 2``. One that says none is of version 1: who does not
    know of versions is older than they are. A type without a schema passes.

    Parameters
    ----------
    schemas : dict of (str, int) to object
        Type and version → the schema. It is compiled here; a reference to another document is
        an error, and nothing is fetched. Patterns run in linear time.

    Raises
    ------
    SchemaError
        For the first that is no schema.

    Examples
    --------
    >>> schemas = Schemas({("chat", 1): {"properties": {"text": {"maxLength": 3}}}})
    >>> schemas.check(Message("chat", {"text": "too long"}))
    Traceback (most recent call last):
    rtlab.errors.MessageError: chat: payload/text: the value is longer than 3 characters
    """

    def __init__(self, schemas: dict[tuple[str, int], object]) -> None:
        import jsonschema_rs  # here: a server without schemas starts sooner

        self._of: dict[str, dict[int, jsonschema_rs.Validator]] = {}
        for (kind, version), schema in schemas.items():
            if not isinstance(schema, dict | bool):
                raise SchemaError(f"{kind}: expected a JSON Schema, which is an object, got {schema!r:.40}")
            try:
                # Masked: an error that repeats the value would write it into logs.
                validator = jsonschema_rs.validator_for(
                    cast("dict[str, Any] | bool", schema),
                    mask="the value",
                    offline=True,
                    pattern_options=jsonschema_rs.RegexOptions(),
                )
            except (ValueError, TypeError) as error:
                first = str(error).partition("\n")[0]
                raise SchemaError(f"{kind} (version {version}) is no JSON Schema: {first:.200}") from None
            self._of.setdefault(kind, {})[version] = validator

    @classmethod
    def load(cls, folder: str | Path | None = None) -> Self:
        """Read every ``TYPE.json`` (version 1) and ``TYPE.vN.json`` of a folder.

        Parameters
        ----------
        folder : str or Path, optional
            ``data/schemas`` by default.

        Raises
        ------
        SchemaError
            It names the file.
        """
        path = data_path("schemas") if folder is None else Path(folder)
        found: dict[tuple[str, int], object] = {}
        for file in sorted(path.glob("*.json")):
            match = _FILE.fullmatch(file.name)
            if match is None:
                raise SchemaError(f"expected a name like chat.json or chat.v2.json, got {file.name}")
            try:
                found[match["type"], int(match["version"] or 1)] = parse_json(file.read_bytes())
            except MessageError as error:
                raise SchemaError(f"{file.name} is no JSON: {error}") from None
        if not found:
            raise SchemaError(f"expected a folder with files like chat.json, got {str(path)!r}")
        return cls(found)

    @property
    def types(self) -> dict[str, list[int]]:
        """The types that have a schema, and their versions."""
        return {kind: sorted(versions) for kind, versions in self._of.items()}

    def check(self, message: Message) -> None:
        """Raise unless a payload is what its type and version must be.

        Raises
        ------
        MessageError
            With the code ``"schema"``: the path that fails, and why. Not the value.
        """
        versions = self._of.get(message.type)
        if versions is None:
            return
        payload = message.payload
        version = fields_of(payload).get("v", 1)
        validator = versions.get(version) if type(version) is int else None
        if validator is None:
            known = ", ".join(map(str, sorted(versions)))
            raise MessageError(f"{message.type}: payload/v: expected a known version ({known})", "schema")
        try:
            if validator.is_valid(payload):
                return
            error = next(iter(validator.iter_errors(payload)))
        except ValueError as reason:  # nested deeper than it follows, or text that is no Unicode
            text = f"{message.type}: payload: cannot be checked: {reason!s:.80}"
            raise MessageError(text, "schema") from None
        path = "/".join(["payload", *map(str, error.instance_path)])[:MAX_PATH_CHARS]
        raise MessageError(f"{message.type}: {path}: {error.message:.200}", "schema")
