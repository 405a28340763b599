"""Certificates named in scorer.toml -> TLS contexts in which both sides must show a certificate."""

import ssl
import stat
from pathlib import Path

from threat_scorer.errors import ConfigError
from threat_scorer.run.config.certificates import Tls


def client_context(tls: Tls, where: str) -> ssl.SSLContext:
    """Return the context of a client: the peer's certificate must be of our authority and name its host.

    Parameters
    ----------
    where
        Key of the table, for messages.

    Raises
    ------
    ConfigError
        A file cannot be used.
    """
    return _context(ssl.PROTOCOL_TLS_CLIENT, tls, where)


def server_context(tls: Tls, where: str) -> ssl.SSLContext:
    """Return the context of a server: a peer without a certificate of our authority is turned away.

    Raises
    ------
    ConfigError
        A file cannot be used.
    """
    return _context(ssl.PROTOCOL_TLS_SERVER, tls, where)


def _context(protocol: int, tls: Tls, where: str) -> ssl.SSLContext:
    context = ssl.SSLContext(protocol)
    context.minimum_version = ssl.TLSVersion.TLSv1_2  # map servers of today have no more
    context.verify_mode = ssl.CERT_REQUIRED
    for name in ("ca", "certificate", "key"):
        _check_readable(getattr(tls, name), f"{where}.tls.{name}")
    if tls.key.stat().st_mode & stat.S_IRWXO:
        raise ConfigError(f"{where}.tls.key: {tls.key} is open to everybody; expected its owner alone (chmod 600)")
    try:
        context.load_verify_locations(tls.ca)
    except ssl.SSLError as error:
        raise ConfigError(f"{where}.tls.ca: {tls.ca}: not certificates in PEM: {error.reason}") from None
    try:
        # the password keeps OpenSSL from asking for one on the terminal
        context.load_cert_chain(tls.certificate, tls.key, password=lambda: b"-")
    except ssl.SSLError as error:
        raise ConfigError(
            f"{where}.tls: {tls.certificate} and {tls.key}: no certificate and plain key that fit: {error.reason}"
        ) from None
    return context


def _check_readable(path: Path, where: str) -> None:
    try:
        path.open("rb").close()
    except OSError as error:
        raise ConfigError(f"{where}: {path}: cannot be read: {error.strerror}") from None
