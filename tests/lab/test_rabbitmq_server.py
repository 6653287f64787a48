"""What a lab's RabbitMQ is told: it listens on loopback, and neither reads nor writes outside its folder."""

from __future__ import annotations

from pathlib import Path

from rtlab.lab.rabbitmq_server import rabbitmq_command, rabbitmq_environment


def test_it_stays_in_its_folder_and_on_loopback():
    told = rabbitmq_environment([4711, 4712, 4713], Path("/data/of/a/lab"))
    files = {name for name in told if name == "HOME" or name.endswith(("_BASE", "_FILE"))}
    assert all(told[name].startswith("/data/of/a/lab") for name in files)
    assert len(files) == 8
    assert (told["RABBITMQ_NODE_IP_ADDRESS"], told["ERL_EPMD_ADDRESS"]) == ("127.0.0.1", "127.0.0.1")
    assert told["RABBITMQ_NODE_PORT"] == "4711"
    assert (told["ERL_EPMD_PORT"], told["RABBITMQ_DIST_PORT"]) == ("4712", "4713")


def test_erlangs_name_server_is_its_own_child():
    environment = rabbitmq_environment([4711, 4712, 4713], Path("/data"))
    assert "-start_epmd false" in environment["RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS"]
    assert rabbitmq_command("/a/server")[-1] == "/a/server"
    assert "epmd" in rabbitmq_command("/a/server")[2]
    assert "-daemon" not in rabbitmq_command("/a/server")[2]
