"""What a reader sees of a node."""

from __future__ import annotations

from rtlab.lab.lab_node import LabNode


def test_a_nodes_websocket_is_at_its_address_and_its_name_tells_no_port():
    node = LabNode("node-2", "https://127.0.0.1:4711", alive=False)
    assert node.ws_url == "wss://127.0.0.1:4711/ws"
    assert repr(node) == "<node-2, died>"
