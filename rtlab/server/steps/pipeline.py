"""Selects the ingress steps that a server's options ask for, and puts them in order; by default none."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from rtlab.server.incoming_message import Incoming
from rtlab.server.naive import CheckFirstValues, resolve_room
from rtlab.server.options import Options
from rtlab.server.reauthorization import Reauthorization
from rtlab.server.steps.rate_limit import LimitRate
from rtlab.server.steps.validate import Validate, refuse_duplicate_keys

__all__ = ["make_steps"]

_Steps = list[Callable[[Incoming], None]]


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
