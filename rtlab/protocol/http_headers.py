"""Header fields: checks those that a caller adds, alike for every library, and names rtlab's own."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final, cast

from rtlab.errors import ConnectFailed

__all__ = ["PROTOCOL", "PROTOCOL_FIELD", "check_headers"]

#: The field with which an rtlab server marks its event streams and its answers to WebRTC offers, as it
#: marks a WebSocket by the subprotocol: a client then waits for the ``welcome``, however late it comes.
PROTOCOL_FIELD: Final = "Rtlab-Protocol"
PROTOCOL: Final = "rtlab.v1"

# RFC 9110 §5.1 and §5.5, without obs-text, whose meaning is not defined.
_NAME: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_VALUE: Final = re.compile(r"[\t\x20-\x7e]*")


def check_headers(headers: Mapping[str, str] | None, authorization: str | None = None) -> dict[str, str]:
    """Check headers, and return a copy without spaces around the values.

    Parameters
    ----------
    headers : mapping or None
        The fields' names and values; None for none.
    authorization : str, optional
        Credentials from the URL, added as ``Authorization`` unless the headers have that field.

    Raises
    ------
    ConnectFailed
        HTTP cannot carry a name or a value; not retryable. The message does not show the value,
        which may be a credential.

    Examples
    --------
    >>> check_headers({"X-Room": " lobby"})
    {'X-Room': 'lobby'}
    >>> check_headers({"X-Room": "a\\nb"})
    Traceback (most recent call last):
    rtlab.errors.ConnectFailed: expected the header 'X-Room' to be one line of ASCII text: encode what is not
    """
    checked: dict[str, str] = {}
    for name, value in cast("dict[Any, Any]", dict(headers or {})).items():
        if not isinstance(name, str) or not _NAME.fullmatch(name):
            raise ConnectFailed(
                f"expected a header's name of letters, digits and hyphens, got {name!r:.80}", retryable=False
            )
        if not isinstance(value, str):
            raise ConnectFailed(
                f"expected the header {name!r:.80} to be text, got {type(value).__name__}", retryable=False
            )
        if not _VALUE.fullmatch(value):
            raise ConnectFailed(
                f"expected the header {name!r:.80} to be one line of ASCII text: encode what is not",
                retryable=False,
            )
        checked[name] = value.strip(" \t")
    if authorization is not None and not any(name.lower() == "authorization" for name in checked):
        checked["Authorization"] = authorization
    return checked
