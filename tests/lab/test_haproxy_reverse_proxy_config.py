from __future__ import annotations

from rtlab.lab.haproxy_reverse_proxy_config import HAPROXY_SETTINGS, haproxy_config, haproxy_lines


def test_the_settings_say_what_differs():
    config = haproxy_config("/x", 8000, dict.fromkeys(HAPROXY_SETTINGS, 1), 2.5)
    assert config.count("2500ms") == 2
    assert config.count("timeout tunnel") == 1
    assert "bind 127.0.0.1:1 ssl crt /x/c.pem" in haproxy_config("/x", 8000, {"right": 1}, 2.5, "/x/c.pem")


def test_the_lines_to_copy_are_those_of_the_configuration():
    made = haproxy_config("/x", 1, {"right": 2}, 3.0)
    assert all(f"  {line}\n" in made for line in haproxy_lines().splitlines())
    assert haproxy_lines("defaults").splitlines() == ["timeout client 50000ms", "timeout server 50000ms"]
