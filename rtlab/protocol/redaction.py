"""Masks the secrets of URLs, headers and JSON in any text that is shown or logged."""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import unquote

__all__ = ["redacted"]

_USERINFO: Final = re.compile(r"(?<=//)[^/?#\s'\"]*@")
#: What precedes a value: the name of a field of a query or fragment, also inside the value of a field (where
#: its delimiters are percent-encoded), or the one of a JSON string, also inside a JSON string (``\"``).
_NAME: Final = re.compile(
    r"(?:[?&;#]|(?<=%3D)|(?P<coded>%(?:3[BF]|2[36])))"  # %3D: a name of its own in ?user%3Dtoken=
    r"(?P<field>(?:[^=&;#?\s'\"%]|%(?!3[BDF]|2[36]))+)(?P<equals>=|%3D)"
    r"|(?P<quote>\\?['\"])(?P<member>[\w.-]+)(?P=quote)\s*:\s*(?P<open>\\?['\"])",
    re.I,
)
#: A field's value. A bracket, comma, semicolon or apostrophe belongs to it if more text follows, behind an
#: apostrophe also after punctuation. An apostrophe behind a bracket, comma or semicolon begins another text.
_FIELD: Final = (
    r"(?:{}[^&#\s'\"),;\\]|\\(?!['\"])"
    r"|[),;]+(?!\\['\"])(?=[^&#\s'\"),;])|(?:\\?')+(?=[),;:.\]}}>]*[^\s'\"),;:.\\\]}}>]))*"
)
#: A value, by what stands in front of it.
_VALUES: Final = {
    "=": re.compile(_FIELD.format("")),
    "%": re.compile(_FIELD.format("(?!%2[36])")),
    "'": re.compile(r"(?:\\.|[^'\\])*", re.S),
    '"': re.compile(r'(?:\\.|[^"\\])*', re.S),
    r"\'": re.compile(r"(?:\\\\(?:\\.|[^'\\])|\\[^'\\]|[^'\\])*", re.S),
    r"\"": re.compile(r'(?:\\\\(?:\\.|[^"\\])|\\[^"\\]|[^"\\])*', re.S),
}

#: Names of secret fields: those that contain one of these, and those that are one of these.
_SECRET: Final = re.compile(
    r"token|ticket|secret|passw|passphrase|pass(?![a-z])|pwd|signature|credential|api[-_]?key|jwt", re.I
)
_SECRET_NAMES: Final = frozenset({"sig", "key", "auth", "authorization", "session", "code"})
#: Credentials in a header, and JWTs anywhere (the first two parts of a JWT begin with ``{"`` in base64).
_HEADER: Final = re.compile(
    r"(?P<name>authorization(?:\\?['\"])?\s*[:=]\s*(?:\\?['\"])?(?:\w+ )?)(?:[^\s'\",\\]|\\(?!['\"]))+", re.I
)
_JWT: Final = re.compile(r"\beyJ[\w-]*\.eyJ[\w-]*\.[\w-]*")


def redacted(text: str) -> str:
    """Mask the secrets in a text: passwords and token-like fields of URLs, credentials of headers, JWTs.

    Fields are also seen in a URL that is percent-encoded inside another one's query, and in JSON inside a
    JSON string. What is encoded twice is not seen, nor the password in front of a nested URL's host.

    Parameters
    ----------
    text : str
        Any text, such as an error message or a log line.

    Examples
    --------
    >>> redacted("no answer from https://me:pw@example.org/ws?token=abc&room=lobby")
    'no answer from https://***@example.org/ws?token=***&room=lobby'
    """
    masked = _fields_masked(_USERINFO.sub("***@", text))
    return _JWT.sub("***", _HEADER.sub(r"\g<name>***", masked))


def _fields_masked(text: str) -> str:
    kept: list[str] = []
    at = 0
    for name in _NAME.finditer(text):
        if name.start() >= at and _is_secret(name):  # the value of any other may contain a secret field
            plain = name["coded"] is None and name["equals"] == "="
            value = _VALUES[name["open"] or ("=" if plain else "%")].match(text, name.end())
            kept += text[at : name.end()], "***"
            at = name.end() if value is None else value.end()
    return "".join(kept) + text[at:]


def _is_secret(name: re.Match[str]) -> bool:
    if name["field"] is None:
        return _SECRET.search(name["member"]) is not None
    field = unquote(name["field"])  # a server reads %74oken as token
    return _SECRET.search(field) is not None or field.partition("[")[0].lower() in _SECRET_NAMES
