"""A certificate authority for one lab: TLS on 127.0.0.1 that only this process trusts."""

from __future__ import annotations

import ssl
import tempfile
from pathlib import Path

__all__ = ["Certificates"]


class Certificates:
    """A certificate authority, and the certificate that it issued for 127.0.0.1 and localhost.

    Attributes
    ----------
    client_context : ssl.SSLContext
        TLS context for clients, which trusts only this authority.

    Notes
    -----
    The private key is in a folder that only this user can read, and that is deleted
    with this object.

    Examples
    --------
    >>> certificates = Certificates()
    >>> certificates.certfile.name
    'server.pem'
    >>> certificates.remove()
    """

    def __init__(self) -> None:
        import trustme  # takes 80 ms, which labs without TLS save

        authority = trustme.CA()
        issued = authority.issue_cert("127.0.0.1", "localhost")
        self._folder = tempfile.TemporaryDirectory(prefix="rtlab-tls-")
        folder = Path(self._folder.name)
        self.certfile = folder / "server.pem"
        self.keyfile = folder / "server.key"
        chain = b"".join(blob.bytes() for blob in issued.cert_chain_pems)
        self.certfile.write_bytes(chain)
        self.cafile = folder / "authority.pem"
        authority.cert_pem.write_to_path(str(self.cafile))
        issued.private_key_pem.write_to_path(str(self.keyfile))
        self.client_context = ssl.create_default_context(
            ssl.Purpose.SERVER_AUTH, cadata=authority.cert_pem.bytes().decode()
        )

    @property
    def arguments(self) -> list[str]:
        """Command-line options that give the server its certificate and key."""
        return ["--certfile", str(self.certfile), "--keyfile", str(self.keyfile)]

    def remove(self) -> None:
        """Delete the files. Safe to repeat."""
        self._folder.cleanup()
