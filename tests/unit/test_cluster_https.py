"""HTTPS to the cluster's web services: believed with the site's own authority, and not without it."""

from __future__ import annotations

import datetime
import ipaddress
import json
import ssl
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
import requests
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from sparkkernels.cluster.access import Access
from sparkkernels.cluster.authority import AUTHORITY_HINT, NAME_HINT, refused_certificate
from sparkkernels.cluster.container_logs import node_logs
from sparkkernels.cluster.fs_shell import FsShell
from sparkkernels.cluster.hadoop_site import HadoopSite
from sparkkernels.cluster.webhdfs import WebHdfs
from sparkkernels.errors import ConfigurationError, ResourceManagerUnavailable, SparkKernelError

SITE = "<configuration>{}</configuration>"
PROPERTY = "<property><name>{}</name><value>{}</value></property>"


class Services(BaseHTTPRequestHandler):
    """A ResourceManager's sign of life, and a NameNode's word about the home."""

    def do_GET(self) -> None:
        found = {"Path": "/user/alice"} if "webhdfs" in self.path else {"clusterInfo": {"state": "STARTED"}}
        body = json.dumps(found).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Not into the tests' output."""


def name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def write_authority_and_certificate(directory: Path) -> tuple[Path, Path]:
    """A site's own authority, and a certificate of it for 127.0.0.1 with its key."""
    now = datetime.datetime.now(datetime.UTC)
    keys = [ec.generate_private_key(ec.SECP256R1()) for _ in range(2)]

    def builder(subject: str, number: int) -> x509.CertificateBuilder:
        return (
            x509.CertificateBuilder()
            .subject_name(name(subject))
            .issuer_name(name("The site"))
            .public_key(keys[number].public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(days=1))
            .not_valid_after(now + datetime.timedelta(days=1))
        )

    authority = builder("The site", 0).add_extension(x509.BasicConstraints(True, 0), True)
    addresses = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    own = builder("rm1", 1).add_extension(addresses, False).sign(keys[0], hashes.SHA256())
    pem = serialization.Encoding.PEM
    (directory / "ca.pem").write_bytes(authority.sign(keys[0], hashes.SHA256()).public_bytes(pem))
    key = keys[1].private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (directory / "rm1.pem").write_bytes(key + own.public_bytes(pem))
    return directory / "ca.pem", directory / "rm1.pem"


@pytest.fixture
def site(tmp_path: Path) -> Iterator[tuple[str, str]]:
    """HADOOP_CONF_DIR of a cluster that speaks HTTPS only, and the file of its authority."""
    authority, certificate = write_authority_and_certificate(tmp_path)
    server = ThreadingHTTPServer(("127.0.0.1", 0), Services)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    address = f"127.0.0.1:{server.server_port}"
    files = {
        "core-site.xml": {"fs.defaultFS": "hdfs://127.0.0.1:8020"},
        "hdfs-site.xml": {"dfs.http.policy": "HTTPS_ONLY", "dfs.namenode.https-address": address},
        "yarn-site.xml": {
            "yarn.http.policy": "HTTPS_ONLY",
            "yarn.resourcemanager.webapp.https.address": address,
        },
    }
    for file, properties in files.items():
        content = "".join(PROPERTY.format(*both) for both in properties.items())
        (tmp_path / file).write_text(SITE.format(content))
    try:
        yield str(tmp_path), str(authority)
    finally:
        server.shutdown()
        server.server_close()
        thread.join(10)


def test_with_the_sites_authority_both_services_are_believed_whatever_the_environment_says(
    site: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    directory, authority = site
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", ssl.get_default_verify_paths().openssl_cafile)
    cluster = HadoopSite(directory, access=Access(ca_file=authority))
    cluster.client.check()
    files = cluster.file_system()
    assert isinstance(files, WebHdfs) and files.home() == "/user/alice"


def test_without_it_nothing_is_asked_and_the_reason_is_told(
    site: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster = HadoopSite(site[0])
    with pytest.raises(
        ResourceManagerUnavailable, match="certificate of the YARN ResourceManager is not"
    ) as caught:
        cluster.client.check()
    assert "TLS: unable to get local issuer certificate" in caught.value.diagnostics
    assert caught.value.hint == AUTHORITY_HINT
    monkeypatch.setattr(cluster, "cli", lambda: None)  # no Spark is here
    assert isinstance(cluster.file_system(), FsShell)


def test_a_name_that_the_certificate_is_not_for_and_a_log_behind_it(site: tuple[str, str]) -> None:
    directory, authority = site
    address = HadoopSite(directory).conf.resource_managers()[0].replace("127.0.0.1", "localhost")
    client = HadoopSite(directory, access=Access(ca_file=authority)).client
    with pytest.raises(requests.RequestException) as caught:
        client.get(f"{address}/ws/v1/node/info")
    refused = refused_certificate(caught.value)
    assert (
        refused is not None and refused.reason.startswith("Hostname mismatch") and refused.hint == NAME_HINT
    )
    application = {"amContainerLogs": f"{address}/node/containerlogs/container_1_0001_01_000001/alice"}
    with pytest.raises(
        SparkKernelError, match=r"certificate of the NodeManager https://\S+ is not trusted: Host"
    ):
        node_logs(client, application, 1000, "alice")


def test_a_request_that_fails_otherwise_says_nothing_of_certificates() -> None:
    for error in (
        requests.ConnectionError("connection refused"),
        requests.exceptions.SSLError("wrong version"),
    ):
        assert refused_certificate(error) is None


@pytest.mark.parametrize(
    ("content", "words"),
    [(None, "There is no"), ("", "holds no"), ("PEM?", "holds no"), (Path, "can't be read")],
)
def test_a_ca_file_of_no_use_is_told_before_anything_is_asked(
    tmp_path: Path, content: str | type | None, words: str
) -> None:
    path = tmp_path / "ca.pem"
    if isinstance(content, str):
        path.write_text(content)
    elif content is not None:
        path.mkdir()
    (tmp_path / "core-site.xml").write_text(SITE.format(""))
    with pytest.raises(ConfigurationError, match=words) as caught:
        HadoopSite(str(tmp_path), access=Access(ca_file=str(path))).session()
    assert str(path) in caught.value.message
