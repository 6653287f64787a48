"""JSON Schemas (2020-12) for the payloads of message types, checked alike by client and server."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self, cast

from rtlab.errors import MessageError, RtlabError
from rtlab.protocol.json_and_messagepack_codecs import parse_json
from rtlab.protocol.message_format import Message, fields_of
from rtlab.resources import data_path

if TYPE_CHECKING:
    import jsonschema_rs

__all__ = ["SchemaError", "Schemas"]

_FILE: Final = re.compile(r"(?P<type>[^.]+)(?:\.v(?P<version>[1-9][0-9]{0,3}))?\.json")

#: The most characters of a failing path to show: its keys are text that the sender chose.
MAX_PATH_CHARS: Final = 120


class SchemaError(RtlabError):
    """A file is not a JSON Schema, or a folder has no schemas."""


class Schemas:
    """The schemas of payloads, by message type and version.

    A payload states its version as ``"v": 2``. Without ``v`` it is of version 1, because a sender
    that does not know of versions is older than version 2. A type without a schema is not checked.

    Parameters
    ----------
    schemas : dict of (str, int) to object
        The schema of each type and version, compiled at once. A reference to another document
        is an error, and nothing is fetched. Patterns run in linear time.

    Raises
    ------
    SchemaError
        One of the values is not a JSON Schema.

    Examples
    --------
    >>> schemas = Schemas({("chat", 1): {"properties": {"text": {"maxLength": 3}}}})
    >>> schemas.check(Message("chat", {"text": "too long"}))
    Traceback (most recent call last):
    rtlab.errors.MessageError: chat: payload/text: the value is longer than 3 characters
    """

    def __init__(self, schemas: dict[tuple[str, int], object]) -> None:
        import jsonschema_rs  # imported only here, so that a server without schemas starts faster

        self._of: dict[str, dict[int, jsonschema_rs.Validator]] = {}
        for (kind, version), schema in schemas.items():
            if not isinstance(schema, dict | bool):
                raise SchemaError(f"{kind}: expected a JSON Schema, which is an object, got {schema!r:.40}")
            try:
                # The value is masked, because errors are logged.
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
            The folder; None for ``data/schemas``.

        Raises
        ------
        SchemaError
            The folder has no schemas, or a file is not one; the message names the file.
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
        """The types that have a schema, with their versions."""
        return {kind: sorted(versions) for kind, versions in self._of.items()}

    def check(self, message: Message) -> None:
        """Raise `MessageError` if a payload violates the schema of its type and version.

        Raises
        ------
        MessageError
            With code ``"schema"``. It names the failing path and the rule, but not the value.
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
        except ValueError as reason:  # nested too deeply for the validator, or invalid Unicode
            text = f"{message.type}: payload: cannot be checked: {reason!s:.80}"
            raise MessageError(text, "schema") from None
        path = "/".join(["payload", *map(str, error.instance_path)])[:MAX_PATH_CHARS]
        raise MessageError(f"{message.type}: {path}: {error.message:.200}", "schema")
