from __future__ import annotations

import pytest

from rtlab.protocol.permessage_deflate import Deflate
from rtlab.server.deflate_negotiation import agree

SMALL = Deflate(server_max_window_bits=9, client_max_window_bits=10, server_no_context_takeover=True)


@pytest.mark.parametrize(
    ("own", "offered", "header"),
    [
        (Deflate(), "permessage-deflate", "permessage-deflate"),
        # What browsers send; a client's window may be limited only where it said so (§7.1.2.2).
        (Deflate(), "permessage-deflate; client_max_window_bits", "permessage-deflate"),
        (
            SMALL,
            "permessage-deflate; client_max_window_bits",
            "permessage-deflate; server_no_context_takeover; server_max_window_bits=9; "
            "client_max_window_bits=10",
        ),
        (
            SMALL,
            "permessage-deflate",
            "permessage-deflate; server_no_context_takeover; server_max_window_bits=9",
        ),
        # The first offer that can be met: zlib has no window of 8 bits.
        (
            Deflate(),
            "permessage-deflate; server_max_window_bits=8, permessage-deflate; server_max_window_bits=11",
            "permessage-deflate; server_max_window_bits=11",
        ),
        (Deflate(), "permessage-deflate; unknown=1, permessage-deflate", "permessage-deflate"),
    ],
)
def test_an_offer_is_answered_by_the_rfc_and_by_what_the_server_wants(
    own: Deflate, offered: str, header: str
) -> None:
    agreed = agree(own, offered)
    assert agreed is not None
    assert agreed.header == header
    # What then holds is what the header says.
    said = Deflate.parse(header.removeprefix("permessage-deflate").removeprefix("; "))
    assert agreed.deflate == Deflate.parse(str(said))


@pytest.mark.parametrize("offered", ["", "x-webkit-deflate-frame", ";;=,", "permessage-deflate; nonsense"])
def test_no_acceptable_offer_means_no_compression(offered: str) -> None:
    assert agree(Deflate(), offered) is None
