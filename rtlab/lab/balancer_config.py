"""HAProxy's configuration before several nodes: one port, and one way to choose a node, for each policy.

A session that was assigned stays where it is: a balancer chooses for new connections, and for each
request of those that are not upgraded.
"""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from rtlab.errors import LabError

__all__ = ["BALANCER_POLICIES", "BalancerTls", "balancer_config", "balancer_lines"]

_CONFIG: Final = """\
global
  maxconn 2000
  stats socket {folder}/admin.sock mode 600 level admin
defaults
  mode http
  timeout connect 2s
  timeout check 10s     # a node that stands still is no dead one: a closed port says that at once
  timeout client 1h     # event streams, and polls that wait
  timeout server 1h
  timeout tunnel 1h     # after 101 Switching Protocols
  option http-no-delay
  option redispatch 1   # a node that refuses: the next attempt goes to another
  retries 3
"""

_FRONTEND: Final = """\
frontend {policy}
  bind 127.0.0.1:{port}{tls}
  http-response set-header X-Node %s
  default_backend {policy}
backend {policy}
{lines}"""

#: Only this backend asks the nodes whether they take connections; the others follow it.
_CHECKED: Final = "round_robin"

#: A node has 16 points on the ring for each unit of weight: with the default of 1, shares are far apart.
WEIGHT: Final = 100

_LINES: Final[dict[str, tuple[str, ...]]] = {
    "round_robin": ("balance roundrobin", "option httpchk GET /readyz"),
    "least_connections": ("balance leastconn",),
    "two_choices": ("balance random(2)",),
    "sticky_cookie": ("balance leastconn", "cookie node insert indirect nocache httponly"),
    "consistent_hash": ("balance url_param clientId", "hash-type consistent"),
    "modulo_hash": ("balance url_param clientId", "hash-type map-based"),
}

#: The ways to choose a node.
BALANCER_POLICIES: Final = tuple(_LINES)


class BalancerTls(NamedTuple):
    """Files for a balancer that ends TLS, and begins it anew towards the nodes.

    Parameters
    ----------
    certificate : str
        Its chain and key, in one PEM file.
    authority : str
        Who signed the nodes' certificates.
    """

    certificate: str
    authority: str


def balancer_config(
    folder: str, nodes: Sequence[int], ports: Mapping[str, int], tls: BalancerTls | None = None
) -> str:
    """Return a configuration of HAProxy with a front and a back end for each policy.

    Parameters
    ----------
    folder : str
        For its socket.
    nodes : sequence of int
        The nodes' ports of 127.0.0.1.
    ports : mapping of str to int
        Policy → the port to listen on; ``"round_robin"`` is always among them.
    tls : BalancerTls, optional
        Serve https and wss, and speak it to the nodes.

    Returns
    -------
    str
    """
    parts = [
        _FRONTEND.format(
            policy=policy,
            port=port,
            tls=f" ssl crt {tls.certificate}" if tls else "",
            lines=textwrap.indent("\n".join((*_LINES[policy], *_servers(policy, nodes, tls), "")), "  "),
        )
        for policy, port in ports.items()
    ]
    return _CONFIG.format(folder=folder) + "".join(parts)


def balancer_lines(policy: str) -> str:
    """Return what a policy's ``backend`` says, without its servers.

    Parameters
    ----------
    policy : str
        One of `BALANCER_POLICIES`.

    Raises
    ------
    LabError
        For another word.

    Examples
    --------
    >>> print(balancer_lines("consistent_hash"))
    balance url_param clientId
    hash-type consistent
    """
    if policy not in _LINES:
        raise LabError(f"expected one of {', '.join(BALANCER_POLICIES)}, got {policy!r}")
    return "\n".join(_LINES[policy])


def _servers(policy: str, nodes: Sequence[int], tls: BalancerTls | None) -> list[str]:
    check = (
        "check inter 200ms fall 1 rise 1" if policy == _CHECKED else "track " + _CHECKED + "/node-{number}"
    )
    secure = f" ssl verify required ca-file {tls.authority}" if tls else ""
    cookie = " cookie node-{number}" if policy == "sticky_cookie" else ""
    line = f"server node-{{number}} 127.0.0.1:{{port}}{secure} weight {WEIGHT}{cookie} {check}"
    return [line.format(number=number, port=port) for number, port in enumerate(nodes, 1)]
