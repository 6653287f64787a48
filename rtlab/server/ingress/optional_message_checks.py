"""The optional steps, which some servers have, in order; `message_entry_point` has those of all servers."""

from __future__ import annotations

from collections.abc import Sequence

from rtlab.errors import MessageError
from rtlab.protocol.duplicate_keys import check_json_keys, check_msgpack_keys
from rtlab.protocol.payload_schemas import Schemas
from rtlab.server.authorization_while_connected import Reauthorization
from rtlab.server.deliberate_security_holes import CheckFirstValues, resolve_room
from rtlab.server.incoming_message import Incoming
from rtlab.server.ingress.message_entry_point import IngressStep
from rtlab.server.ingress.message_rate_limit import LimitRate
from rtlab.server.refusal_and_end_reasons import Refused
from rtlab.server.server_options import Options

__all__ = ["Validate", "make_steps", "refuse_duplicate_keys"]

_Steps = list[IngressStep]


def make_steps(
    options: Options, limits: Sequence[LimitRate], reauthorization: Reauthorization | None = None
) -> tuple[_Steps, _Steps]:
    """Return the steps before the decoder, and the steps after it.

    The order is that of the ingress: byte rate, (decode,) authenticate, message rate, authorise, validate.

    Parameters
    ----------
    options : Options
        The server's options.
    limits : sequence of LimitRate
        The server's rate limits.
    reauthorization : Reauthorization or None
        Checks sessions' tokens and rights; None in the open setting.
    """
    before: _Steps = [limit.check for limit in limits if limit.before_decoding]
    after: _Steps = [limit.check for limit in limits if not limit.before_decoding]
    if reauthorization is not None:
        after = [reauthorization.authenticate, *after, reauthorization.authorise]
        if options.security == "naive":
            after.append(resolve_room)
    if options.strict_keys:
        before.append(refuse_duplicate_keys)
    if options.schemas is not None and options.security == "naive":
        after.append(CheckFirstValues(options.schemas).check)
    elif options.schemas is not None:
        after.append(Validate(options.schemas).check)
    return before, after


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
