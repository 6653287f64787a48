"""HAProxy's configuration in front of several nodes: one port for each balancing policy.

HAProxy chooses a node for each HTTP request. An upgraded connection is one request, so a WebSocket
stays on the node that was chosen for its handshake.
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

#: Only this backend runs health checks; the other backends track its results.
_CHECKED: Final = "round_robin"

#: HAProxy puts 16 points per unit of weight on the hash ring: at weight 1, the default, shares are uneven.
WEIGHT: Final = 100

_LINES: Final[dict[str, tuple[str, ...]]] = {
    "round_robin": ("balance roundrobin", "option httpchk GET /readyz"),
    "least_connections": ("balance leastconn",),
    "two_choices": ("balance random(2)",),
    "sticky_cookie": ("balance leastconn", "cookie node insert indirect nocache httponly"),
    "consistent_hash": ("balance url_param clientId", "hash-type consistent"),
    "modulo_hash": ("balance url_param clientId", "hash-type map-based"),
}

#: Names of the balancing policies.
BALANCER_POLICIES: Final = tuple(_LINES)


class BalancerTls(NamedTuple):
    """Files for a balancer that terminates TLS, and encrypts again towards the nodes.

    Parameters
    ----------
    certificate : str
        Path of one PEM file with the balancer's certificate chain and private key.
    authority : str
        Path of the certificate of the authority that signed the nodes' certificates.
    """

    certificate: str
    authority: str


def balancer_config(
    folder: str, nodes: Sequence[int], ports: Mapping[str, int], tls: BalancerTls | None = None
) -> str:
    """Return a configuration of HAProxy with a frontend and a backend for each policy.

    Parameters
    ----------
    folder : str
        Folder for HAProxy's admin socket.
    nodes : sequence of int
        The nodes' ports on 127.0.0.1.
    ports : mapping of str to int
        Policy → the port to listen on; must have ``"round_robin"``, whose backend runs the health checks.
    tls : BalancerTls, optional
        Serve https and wss, and use TLS towards the nodes; None is plain HTTP on both sides.

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
    """Return the lines of a policy's ``backend`` section, without its servers.

    Parameters
    ----------
    policy : str
        One of `BALANCER_POLICIES`.

    Raises
    ------
    LabError
        For an unknown policy.

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
