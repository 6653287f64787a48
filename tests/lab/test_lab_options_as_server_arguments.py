from __future__ import annotations

import pytest

from rtlab.errors import LabError
from rtlab.lab.lab_options_as_server_arguments import ServerOptions, as_arguments
from rtlab.protocol.permessage_deflate import Deflate
from rtlab.server.command_line import make_parser


def test_each_option_is_one_that_the_server_knows():
    known = make_parser()._option_string_actions
    assert not [name for name in ServerOptions.__annotations__ if "--" + name.replace("_", "-") not in known]


def test_options_become_a_command_line():
    assert as_arguments({"heartbeat": 0.5, "compression": True}) == ["--heartbeat", "0.5", "--compression"]
    assert as_arguments({"compression": False}) == []
    for asked in (Deflate(), Deflate(server_no_context_takeover=True, level=9)):
        line = as_arguments({"compression": asked})
        assert make_parser().parse_args(line).compression == asked


def test_an_unknown_option_is_refused():
    with pytest.raises(LabError, match="got deflat=True"):
        as_arguments({"deflat": True})  # type: ignore[typeddict-unknown-key]
