"""The relay's certificate: made when the relay starts and never kept, or the administrator's own.

Every supervisor pins it by its fingerprint; who signed it and how long it is valid means nothing to them.

The package ``cryptography`` is imported where it is needed, which is never the server's event loop: that loop
imports this module when it starts its first kernel, and would stand still for as long.
"""

from __future__ import annotations

import datetime
import os
import ssl
import stat
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

from ..errors import ConfigurationError

#: Bytes of a PEM file at most; a certificate with its chain and key has some thousands.
MAX_PEM = 1048576
HINT = "Name a PEM file with the certificate, its chain if any, and its key without a passphrase."


@dataclass(frozen=True)
class Certificate:
    """A certificate (with its chain if any) and its key, both PEM.

    Attributes
    ----------
    path : str
        The file that they came from, "" for one of our own making.
    """

    certificate: bytes
    key: bytes = field(repr=False)
    path: str = ""

    @property
    def fingerprint(self) -> str:
        """SHA-256 of its DER form, lower-case hex: what the registration file pins."""
        from cryptography import x509
        from cryptography.hazmat.primitives import hashes

        leaf = x509.load_pem_x509_certificates(self.certificate)[0]
        return leaf.fingerprint(hashes.SHA256()).hex()


def make_certificate(now: datetime.datetime, days: int = 3650) -> Certificate:
    """Make a self-signed P-256 certificate.

    Parameters
    ----------
    now : datetime.datetime
        Begin of its validity, in UTC; a day is taken off for clocks that are behind.
    days : int
        Validity. Supervisors look at the fingerprint only.
    """
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "sparkkernels relay")])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=days))
        .sign(key, hashes.SHA256())
    )
    return Certificate(
        certificate.public_bytes(serialization.Encoding.PEM),
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        ),
    )


def read_certificate(path: str) -> Certificate:
    """Read the administrator's own certificate and key.

    Parameters
    ----------
    path : str
        A PEM file with the certificate, then its chain if any, and its key in any place.

    Raises
    ------
    ConfigurationError
        It can't be read, others could read or replace it, or it is no certificate with its key.
    """
    from cryptography import x509
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives import serialization

    content = read_private(path)
    try:
        certificates = x509.load_pem_x509_certificates(content)
        key = serialization.load_pem_private_key(content, None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise ConfigurationError(
            f"The relay's certificate {path} does not hold a certificate and a private key that can be read.",
            hint=HINT,
        ) from error
    if certificates[0].public_key() != key.public_key():
        raise ConfigurationError(
            f"The relay's certificate {path} holds the key of another certificate.", hint=HINT
        )
    return Certificate(
        b"".join(certificate.public_bytes(serialization.Encoding.PEM) for certificate in certificates),
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        ),
        path,
    )


def read_private(path: str) -> bytes:
    """The content of a file that is ours and that nobody else can read or write.

    Raises
    ------
    ConfigurationError
    """
    if not os.path.isabs(path):
        raise ConfigurationError(
            f"The relay's certificate {path!r} is no absolute path.", hint="Set relay_certificate to one."
        )
    try:
        # not blocking, or a FIFO of that name would hold the server up
        with open(path, "rb", opener=lambda name, flags: os.open(name, flags | os.O_NONBLOCK)) as file:
            found = os.fstat(file.fileno())
            content = file.read(MAX_PEM) if stat.S_ISREG(found.st_mode) else b""
    except OSError as error:
        raise ConfigurationError(
            f"The relay's certificate {path} can't be read: {error.strerror}.",
            hint="Set relay_certificate to a file that this server's account owns.",
        ) from error
    if not stat.S_ISREG(found.st_mode):
        raise ConfigurationError(f"The relay's certificate {path} is no file.", hint=HINT)
    if found.st_uid != os.getuid() or found.st_mode & 0o077:
        raise ConfigurationError(
            f"The relay's certificate {path} could be read or replaced by others than this server's account.",
            hint=f"Make it the server account's own, and nobody else's: chmod 600 {path}",
        )
    return content


def server_context(certificate: Certificate) -> ssl.SSLContext:
    """A TLS 1.2+ server context; the key is in a file for a moment, owner-only, since OpenSSL reads files.

    Raises
    ------
    ConfigurationError
        OpenSSL does not take them, usually because the key is too short.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    with tempfile.TemporaryDirectory(prefix="sparkkernels-") as directory:
        path = Path(directory) / "relay.pem"
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(certificate.key + certificate.certificate)
        try:
            context.load_cert_chain(path)
        except ssl.SSLError as error:
            raise ConfigurationError(
                f"The relay's certificate can't be used: {error.reason or error}.", hint=HINT
            ) from error
    return context
