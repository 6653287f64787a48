"""JSON bodies as Toxiproxy reads them, which is as Go's ``encoding/json`` does.

Only the first JSON value of a body counts; bytes after it are ignored. Keys are
case-insensitive, and the last of several equal keys wins. ``null`` leaves a field unchanged.
Clients rely on all of this. One thing is stricter here: text that is not UTF-8 is refused,
where Go replaces each bad byte by U+FFFD.
"""

from __future__ import annotations

import json
from typing import Any, Final, cast

from rtlab.errors import MessageError
from rtlab.faults.errors import bad_request
from rtlab.protocol.json_and_messagepack_codecs import parse_json

__all__ = ["lower_case_fields", "read_json"]

_SPACE: Final = " \t\r\n"
_find_end: Final = json.JSONDecoder().raw_decode


def read_json(body: bytes) -> Any:
    """Return the first JSON value of a request's body.

    Parameters
    ----------
    body : bytes
        The body as received.

    Raises
    ------
    FaultError
        400, when the body is empty, not UTF-8, or not JSON.

    Examples
    --------
    >>> read_json(b'{"enabled": false} and more')
    {'enabled': False}
    """
    try:
        text = body.decode().lstrip(_SPACE)
        if not text:
            raise bad_request("EOF")  # Toxiproxy's word for an empty body
        _, end = _find_end(text)
        return parse_json(text[:end])
    except RecursionError:
        raise bad_request("nested too deeply") from None
    except (ValueError, MessageError) as error:
        raise bad_request(str(error)) from None


def lower_case_fields(value: Any) -> dict[str, Any]:
    """Return the fields of a JSON object, with names in lower case; leaves out null fields.

    Parameters
    ----------
    value : any
        What `read_json` returned, or a value inside it. Null has no fields.

    Raises
    ------
    FaultError
        400, when the value is neither an object nor null.

    Examples
    --------
    >>> lower_case_fields({"Name": "redis", "LISTEN": None})
    {'name': 'redis'}
    """
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise bad_request(f"expected an object, got {type(value).__name__}")
    given = cast("dict[str, Any]", value)
    return {name.casefold(): field for name, field in given.items() if field is not None}
