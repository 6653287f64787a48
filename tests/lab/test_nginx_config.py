from __future__ import annotations

from rtlab.lab.nginx_config import NGINX_SETTINGS, nginx_config


def test_the_settings_say_what_differs():
    config = nginx_config("/x", 8000, dict.fromkeys(NGINX_SETTINGS, 1), 2.5)
    assert config.count("proxy_read_timeout 2500ms;") == 2
    assert config.count("Upgrade $http_upgrade") == 1
    assert " ssl;" not in config
    assert "listen 127.0.0.1:1 ssl;" in nginx_config("/x", 8000, {"right": 1}, 2.5, "/x/c.pem")
