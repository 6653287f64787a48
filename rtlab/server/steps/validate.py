"""Validates a message: its payload against the schema of its type, and its keys for repeats."""

from __future__ import annotations

from rtlab.errors import MessageError
from rtlab.protocol.duplicate_keys import check_json_keys, check_msgpack_keys
from rtlab.protocol.schemas import Schemas
from rtlab.server.incoming_message import Incoming
from rtlab.server.refusal import Refused

__all__ = ["Validate", "refuse_duplicate_keys"]


class Validate:
    """Refuses a payload that does not match the schema of its type; each refusal costs a strike.

    Parameters
    ----------
    schemas : Schemas
        The schemas, by type and version.
    """

    def __init__(self, schemas: Schemas) -> None:
        self._check = schemas.check

    def check(self, incoming: Incoming) -> None:
        """As an ingress step, validate one message."""
        try:
            self._check(incoming.message)
        except MessageError as error:
            raise Refused(error.code, str(error), strikes=1) from None


def refuse_duplicate_keys(incoming: Incoming) -> None:
    """As an ingress step, refuse bytes in which an object repeats a key; a decoder would drop one value.

    It parses the message a second time, in Python, which takes time.
    """
    data = incoming.data
    try:
        if isinstance(data, str) or (isinstance(data, bytes) and not _binary(incoming)):
            check_json_keys(data)
        elif isinstance(data, bytes):
            check_msgpack_keys(data)
    except MessageError as error:
        raise Refused(error.code, str(error), strikes=1) from None


def _binary(incoming: Incoming) -> bool:
    return bool(getattr(incoming.decoder, "binary", False))
