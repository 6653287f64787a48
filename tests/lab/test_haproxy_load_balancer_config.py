from __future__ import annotations

import pytest

from rtlab.errors import LabError
from rtlab.lab.haproxy_load_balancer_config import (
    BALANCER_POLICIES,
    BalancerTls,
    balancer_config,
    balancer_lines,
)


def test_each_policy_has_a_port_and_all_nodes():
    ports = {policy: 9000 + n for n, policy in enumerate(BALANCER_POLICIES)}
    config = balancer_config("/x", [8001, 8002], ports)
    for policy, port in ports.items():
        part = config.partition(f"backend {policy}\n")[2].partition("frontend")[0]
        assert [line for line in part.splitlines() if "server node-" in line and "weight 100" in line][1:]
        assert "127.0.0.1:8001" in part
        assert f"bind 127.0.0.1:{port}\n" in config
        assert all(f"  {line}\n" in part for line in balancer_lines(policy).splitlines())
    # One backend asks the nodes, the others follow it; only cookies need names for them.
    assert config.count(" check inter ") == 2
    assert config.count("track round_robin/node-2") == len(BALANCER_POLICIES) - 1
    assert config.count(" cookie node-1") == 1


def test_with_tls_it_ends_at_the_balancer_and_begins_anew():
    config = balancer_config("/x", [8001], {"round_robin": 1}, BalancerTls("/c.pem", "/ca.pem"))
    assert "bind 127.0.0.1:1 ssl crt /c.pem" in config
    assert "ssl verify required ca-file /ca.pem" in config


def test_a_word_that_is_no_policy_says_which_there_are():
    with pytest.raises(LabError, match="two_choices"):
        balancer_lines("fastest")
