"""``--header 'Name: value'``, as the commands that look at a server take it."""

from __future__ import annotations

from collections.abc import Iterable

from rtlab.errors import RtlabError

__all__ = ["headers_of"]


def headers_of(given: Iterable[str] | None) -> dict[str, str]:
    """Return the fields of a request.

    Parameters
    ----------
    given : iterable of str or None
        ``Name: value`` each.

    Raises
    ------
    RtlabError
        For what is no field.

    Examples
    --------
    >>> headers_of(["Authorization: Bearer x:y"])
    {'Authorization': 'Bearer x:y'}
    """
    return dict(map(_field, given or ()))


def _field(text: str) -> tuple[str, str]:
    name, colon, value = text.partition(":")
    if not colon or not name.strip() or not text.isascii() or not text.isprintable():
        raise RtlabError(f"expected --header 'Name: value', got {text!r:.60}")
    return name.strip(), value.strip()
