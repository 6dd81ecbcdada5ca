"""The relay's certificate: made when the relay starts, pinned by every supervisor, never kept."""

from __future__ import annotations

import datetime
import hashlib
import os
import ssl
import tempfile
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


def make_certificate(now: datetime.datetime, days: int = 3650) -> tuple[bytes, bytes]:
    """Make a self-signed P-256 certificate.

    Parameters
    ----------
    now : datetime.datetime
        Begin of its validity, in UTC; a day is taken off for clocks that are behind.
    days : int
        Validity. Supervisors look at the fingerprint only.

    Returns
    -------
    tuple of (bytes, bytes)
        Certificate and private key, both PEM.
    """
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "sparkkernels relay")])
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
    return (
        certificate.public_bytes(serialization.Encoding.PEM),
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        ),
    )


def fingerprint(certificate_pem: bytes) -> str:
    """SHA-256 of the certificate's DER form, lower-case hex: what the registration file pins."""
    return hashlib.sha256(ssl.PEM_cert_to_DER_cert(certificate_pem.decode())).hexdigest()


def server_context(certificate_pem: bytes, key_pem: bytes) -> ssl.SSLContext:
    """A TLS 1.2+ server context; the key is in a file for a moment, owner-only, since OpenSSL reads files."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    with tempfile.TemporaryDirectory(prefix="sparkkernels-") as directory:
        path = Path(directory) / "relay.pem"
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(key_pem + certificate_pem)
        context.load_cert_chain(path)
    return context
