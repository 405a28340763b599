"""Host, port and certificates -> a connected TCP socket, with TLS where there are certificates."""

import socket
from typing import TYPE_CHECKING

from threat_scorer.run.config.certificates import Tls

if TYPE_CHECKING:
    import ssl


def client_tls(tls: Tls | None, where: str) -> "ssl.SSLContext | None":
    """Return what connects with certificates; None where there are none.

    Raises
    ------
    ConfigError
        One cannot be used.
    """
    if tls is None:
        return None
    from threat_scorer.run.connections.tls import client_context  # ssl is not held where no one needs it

    return client_context(tls, where)


def connect_tcp(host: str, port: int, tls: "ssl.SSLContext | None", *, within_s: float) -> socket.socket:
    """Connect to a peer, with TLS where there are certificates.

    Raises
    ------
    OSError
        It is not there, or not who it should be.
    """
    plain = socket.create_connection((host, port), timeout=within_s)
    if tls is None:
        return plain
    try:
        return tls.wrap_socket(plain, server_hostname=host)
    except BaseException:
        plain.close()
        raise
