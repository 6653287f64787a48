"""Parses ``--header 'Name: value'``, an option of the commands that examine a server."""

from __future__ import annotations

from collections.abc import Iterable

from rtlab.errors import RtlabError

__all__ = ["headers_of"]


def headers_of(given: Iterable[str] | None) -> dict[str, str]:
    """Return the header fields to add to each request, by name.

    Parameters
    ----------
    given : iterable of str or None
        One ``Name: value`` for each field; None means no fields.

    Raises
    ------
    RtlabError
        If a text is not of this form, or is not printable ASCII.

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
