from __future__ import annotations

from rtlab.lab.nginx_reverse_proxy_config import NGINX_MAP, NGINX_SETTINGS, nginx_config, nginx_lines


def test_the_settings_say_what_differs():
    config = nginx_config("/x", 8000, dict.fromkeys(NGINX_SETTINGS, 1), 2.5)
    assert config.count("proxy_read_timeout 2500ms;") == 2
    assert config.count("Upgrade $http_upgrade") == 1
    assert " ssl;" not in config
    assert "listen 127.0.0.1:1 ssl;" in nginx_config("/x", 8000, {"right": 1}, 2.5, "/x/c.pem")


def test_the_lines_to_copy_are_those_of_the_configuration():
    lines = nginx_lines().splitlines()
    made = nginx_config("/x", 1, {"right": 2}, 3.0)
    assert NGINX_MAP in made
    assert all(f"      {line}\n" in made for line in lines)
    assert any(line.startswith("proxy_set_header Upgrade") for line in lines)
    assert nginx_lines("defaults").splitlines()[0] == "proxy_read_timeout 60000ms;"
