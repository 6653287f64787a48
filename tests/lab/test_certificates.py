from __future__ import annotations

import asyncio
import ssl
import stat

import httpx
import pytest

from rtlab.client.client_factory_by_transport import make_client
from rtlab.errors import ConnectFailed
from rtlab.lab.certificates import Certificates
from rtlab.lab.lab import Lab
from rtlab.protocol.transport_names import TRANSPORTS


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_every_transport_speaks_tls(transport: str):
    async with asyncio.timeout(30), Lab(tls=True) as lab:
        assert lab.url.startswith("https://127.0.0.1:")
        assert lab.ws_url.startswith("wss://127.0.0.1:")
        async with make_client(transport, lab.url, ssl=lab.ssl) as conn:
            assert (await conn.request("echo", {"n": 1})).payload == {"n": 1}
        # Whoever does not know this lab's authority stays outside.
        stranger = make_client(transport, lab.url, ssl=ssl.create_default_context())
        with pytest.raises(ConnectFailed) as refused:
            await stranger.connect()
        assert "certificate" in str(refused.value).lower()
        await stranger.close()


async def test_a_lab_without_tls_has_no_context():
    async with Lab() as lab:
        assert lab.ssl is None
        assert lab.url.startswith("http://")


async def test_a_node_restarts_with_its_certificate():
    async with asyncio.timeout(30), Lab(tls=True) as lab:
        assert lab.ssl is not None
        await lab.restart()
        async with httpx.AsyncClient(verify=lab.ssl, trust_env=False) as http:
            assert (await http.get(f"{lab.url}/healthz")).status_code == 200


async def test_the_key_is_private_and_goes_away():
    lab = Lab(tls=True)
    made = lab._certificates
    assert made is not None
    assert stat.S_IMODE(made.keyfile.parent.stat().st_mode) == 0o700
    async with lab:
        assert made.keyfile.exists()
    assert not made.keyfile.parent.exists()


def test_two_labs_do_not_trust_each_other():
    one, other = Certificates(), Certificates()
    assert one.client_context.get_ca_certs() != other.client_context.get_ca_certs()
    one.remove()
    one.remove()
    other.remove()
