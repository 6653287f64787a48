from __future__ import annotations

from rtlab.lab.haproxy_config import HAPROXY_SETTINGS, haproxy_config


def test_the_settings_say_what_differs():
    config = haproxy_config("/x", 8000, dict.fromkeys(HAPROXY_SETTINGS, 1), 2.5)
    assert config.count("2500ms") == 2
    assert config.count("timeout tunnel") == 1
    assert "bind 127.0.0.1:1 ssl crt /x/c.pem" in haproxy_config("/x", 8000, {"right": 1}, 2.5, "/x/c.pem")
