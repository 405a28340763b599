"""Host, port and certificates -> a connected TCP socket, with TLS where there are certificates."""

import socket
from typing import TYPE_CHECKING

from threat_scorer.run.config.certificates import Tls

if TYPE_CHECKING:
    import ssl


def client_tls(tls: Tls | None, where: str) -> "ssl.SSLContext | None":
    """Return the TLS context of a client; None without certificates.

    `where` names the table in messages.

    Raises
    ------
    ConfigError
        A certificate cannot be used.
    """
    if tls is None:
        return None
    from threat_scorer.run.connections.tls import client_context  # ssl is not loaded where no one needs it

    return client_context(tls, where)


def connect_tcp(host: str, port: int, tls: "ssl.SSLContext | None", *, within_s: float) -> socket.socket:
    """Connect to a peer.

    Parameters
    ----------
    host, port
        Its address.
    tls
        As `client_tls` returns it; None to connect without TLS.
    within_s
        Limit of the connection and of each later read or write, in seconds.

    Raises
    ------
    OSError
        The peer is not there, or its certificate is not accepted.
    """
    plain = socket.create_connection((host, port), timeout=within_s)
    if tls is None:
        return plain
    try:
        return tls.wrap_socket(plain, server_hostname=host)
    except BaseException:
        plain.close()
        raise
