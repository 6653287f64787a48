from __future__ import annotations

import socket
import sys

import pytest

from rtlab.measure.kernel_sockets import bytes_in_kernel


@pytest.mark.skipif(sys.platform != "linux", reason="/proc/net/tcp is Linux's")
def test_unread_bytes_are_seen_at_either_end_until_they_are_read():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)) as client, listener.accept()[0] as server:
            assert bytes_in_kernel(port) == 0
            server.sendall(b"x" * 5000)
            assert bytes_in_kernel(port) == 5000
            # More than the client's buffer takes: the rest waits at the server's end.
            server.setblocking(False)
            sent = 5000 + server.send(b"x" * 3_000_000)
            assert bytes_in_kernel(port) == sent
            while sent:
                sent -= len(client.recv(100_000))
            assert bytes_in_kernel(port) == 0
