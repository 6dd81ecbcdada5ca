"""A cluster's HTTPS: an authority of its own, and the certificate that all of its web servers show."""

from __future__ import annotations

import datetime
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, NoEncryption, pkcs12
from cryptography.x509.oid import NameOID

_HOST = "localhost"
#: Java's own default. It protects nothing: the key store is readable by its owner only.
_PASSWORD = "changeit"
_LIFETIME = datetime.timedelta(days=2)


class Tls:
    """The files of a cluster that speaks HTTPS only.

    Parameters
    ----------
    directory : Path
        The cluster's directory.
    """

    password = _PASSWORD

    def __init__(self, directory: Path) -> None:
        self.directory = directory / "tls"

    @property
    def ca_file(self) -> Path:
        """The authority's certificate, for clients in Python: PEM."""
        return self.directory / "ca.pem"

    @property
    def other_ca_file(self) -> Path:
        """An authority's of the same name that has nothing to do with the cluster: PEM."""
        return self.directory / "other-ca.pem"

    @property
    def keystore(self) -> Path:
        """The web servers' key and certificate: PKCS #12."""
        return self.directory / "keystore.p12"

    @property
    def truststore(self) -> Path:
        """The authority's certificate, for clients in Java: PKCS #12 without a password."""
        return self.directory / "truststore.p12"

    @property
    def java_option(self) -> str:
        """The option that has a JVM believe the authority."""
        return f"-Djavax.net.ssl.trustStore={self.truststore}"


def create(tls: Tls) -> None:
    """Make the authority, the web servers' certificate, and the stores that Java reads.

    Parameters
    ----------
    tls : Tls
        Nothing of it exists yet.
    """
    tls.directory.mkdir()
    for path in (tls.other_ca_file, tls.ca_file):
        authority, key = _authority()
        path.write_bytes(authority.public_bytes(serialization.Encoding.PEM))
    own_key = ec.generate_private_key(ec.SECP256R1())
    name = x509.SubjectAlternativeName([x509.DNSName(_HOST)])
    own = _builder(_HOST, own_key).add_extension(name, critical=False).sign(key, hashes.SHA256())
    tls.keystore.touch(mode=0o600)
    tls.keystore.write_bytes(
        pkcs12.serialize_key_and_certificates(
            b"web", own_key, own, [authority], BestAvailableEncryption(_PASSWORD.encode())
        )
    )
    known = pkcs12.PKCS12Certificate(authority, b"authority")
    tls.truststore.write_bytes(pkcs12.serialize_java_truststore([known], NoEncryption()))


def _authority() -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
    """Make an authority: its certificate, and the key that signs."""
    key = ec.generate_private_key(ec.SECP256R1())
    constraints = x509.BasicConstraints(ca=True, path_length=0)
    builder = _builder("The test cluster's authority", key).add_extension(constraints, critical=True)
    return builder.sign(key, hashes.SHA256()), key


def _builder(subject: str, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
    """Begin a certificate that the authority signs."""
    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(_name(subject))
        .issuer_name(_name("The test cluster's authority"))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        # A clock that is wrong by hours is a matter of tests for Kerberos.
        .not_valid_before(now - _LIFETIME)
        .not_valid_after(now + _LIFETIME)
    )


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])
