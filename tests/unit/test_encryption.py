"""Which kernels get CURVE keys, and the certificate of an administrator."""

from __future__ import annotations

import datetime
import os
import ssl
import stat
import subprocess
from pathlib import Path
from typing import Any

import pytest

from sparkkernels.encryption import needs_curve
from sparkkernels.errors import ConfigurationError
from sparkkernels.relay.tls import Certificate, make_certificate, read_certificate, server_context

NOW = datetime.datetime.now(datetime.UTC)


@pytest.mark.parametrize(
    ("setting", "server", "supported", "needed"),
    [
        ("auto", "disabled", True, True),
        ("auto", "disabled", False, False),
        ("auto", "auto", True, True),
        ("auto", "required", True, True),
        ("required", "disabled", True, True),
        ("disabled", "disabled", True, False),
        ("disabled", "auto", True, False),
    ],
)
def test_a_kernel_that_can_gets_keys_whatever_the_server_says_unless_disabled(
    setting: str, server: str, supported: bool, needed: bool
) -> None:
    assert needs_curve(setting, server, supported, possible=True) is needed


@pytest.mark.parametrize(
    ("arguments", "first"),
    [
        (("required", "disabled", False, True), "does not say that its kernel can encrypt"),
        (("auto", "required", False, True), "does not say that its kernel can encrypt"),
        (("disabled", "required", True, True), "the setting curve disables it"),
        (("auto", "disabled", True, False), "pyzmq has no CURVE"),
    ],
)
def test_what_cannot_be_had_is_refused_with_a_step_to_take(
    arguments: tuple[str, str, bool, bool], first: str
) -> None:
    with pytest.raises(ConfigurationError, match=first) as caught:
        needs_curve(*arguments)
    assert caught.value.hint


# -- the certificate ---------------------------------------------------------------------------------------


def written(path: Path, *parts: bytes, mode: int = 0o600) -> str:
    path.write_bytes(b"".join(parts))
    path.chmod(mode)
    return str(path)


@pytest.mark.parametrize("key_first", [True, False])
def test_an_administrators_certificate_is_read_with_its_chain_in_any_order(
    tmp_path: Path, key_first: bool
) -> None:
    own, issuer = make_certificate(NOW), make_certificate(NOW)
    chain = own.certificate + issuer.certificate
    parts = (own.key, chain) if key_first else (chain, own.key)
    found = read_certificate(written(tmp_path / "relay.pem", *parts))
    assert found == Certificate(chain, own.key, str(tmp_path / "relay.pem"))
    assert found.fingerprint == own.fingerprint
    server_context(found)


def test_what_openssl_wrote_is_read(tmp_path: Path) -> None:
    path = tmp_path / "relay.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=relay", "-keyout"]
    subprocess.run([*command, path, "-out", path], check=True, timeout=60, capture_output=True)
    path.chmod(0o600)
    found = read_certificate(str(path))
    server_context(found)
    words = subprocess.run(
        ["openssl", "x509", "-in", path, "-noout", "-fingerprint", "-sha256"],
        check=True,
        timeout=60,
        capture_output=True,
        text=True,
    ).stdout
    assert words.strip().partition("=")[2].replace(":", "").lower() == found.fingerprint


def test_a_file_that_others_could_read_or_write_is_refused(tmp_path: Path) -> None:
    own = make_certificate(NOW)
    for mode in (0o640, 0o604, 0o620, 0o602, 0o601):
        path = written(tmp_path / "relay.pem", own.key, own.certificate, mode=mode)
        with pytest.raises(ConfigurationError, match="by others than this server's account") as caught:
            read_certificate(path)
        assert f"chmod 600 {path}" in caught.value.hint


def test_a_file_of_somebody_else_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = make_certificate(NOW)
    path = written(tmp_path / "relay.pem", own.key, own.certificate)
    monkeypatch.setattr(os, "getuid", lambda: os.stat(path).st_uid + 1)
    with pytest.raises(ConfigurationError, match="by others than this server's account"):
        read_certificate(path)


def strange_certificates(directory: Path) -> dict[str, str]:
    own, other = make_certificate(NOW), make_certificate(NOW)
    passphrase = ["openssl", "pkey", "-aes256", "-passout", "pass:secret"]
    locked = subprocess.run(passphrase, input=own.key, capture_output=True, check=True, timeout=60).stdout
    os.mkfifo(directory / "fifo", 0o600)
    return {
        "nothing there": str(directory / "missing.pem"),
        "a directory": str(directory),
        "a fifo": str(directory / "fifo"),
        "a relative path": "relay.pem",
        "empty": written(directory / "empty.pem"),
        "no key": written(directory / "no-key.pem", own.certificate),
        "no certificate": written(directory / "no-certificate.pem", own.key),
        "another's key": written(directory / "other.pem", other.key, own.certificate),
        "a passphrase": written(directory / "locked.pem", locked, own.certificate),
        "garbage": written(directory / "garbage.pem", os.urandom(5000)),
        "huge": written(directory / "huge.pem", b"-----BEGIN CERTIFICATE-----\n" + b"A" * 5_000_000),
    }


def test_what_is_no_certificate_with_its_key_is_refused_in_words(tmp_path: Path) -> None:
    for name, path in strange_certificates(tmp_path).items():
        with pytest.raises(ConfigurationError, match=r"^The relay's certificate ") as caught:
            read_certificate(path)
        assert caught.value.hint and "Traceback" not in str(caught.value), name


def test_a_key_that_openssl_finds_too_short_is_refused_in_words(tmp_path: Path) -> None:
    path = tmp_path / "short.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:1024", "-nodes", "-subj", "/CN=relay", "-keyout"]
    subprocess.run([*command, path, "-out", path], check=True, timeout=60, capture_output=True)
    path.chmod(0o600)
    with pytest.raises(ConfigurationError, match="can't be used"):
        server_context(read_certificate(str(path)))


def test_the_key_is_in_a_file_of_ours_alone_and_not_for_long(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[Path, int, int]] = []
    load: Any = ssl.SSLContext.load_cert_chain

    def look(context: ssl.SSLContext, path: Path) -> None:
        modes = stat.S_IMODE(path.stat().st_mode), stat.S_IMODE(path.parent.stat().st_mode)
        seen.append((path, *modes))
        load(context, path)

    monkeypatch.setattr(ssl.SSLContext, "load_cert_chain", look)
    old = os.umask(0)
    try:
        server_context(make_certificate(NOW))
    finally:
        os.umask(old)
    [(path, mode, directory_mode)] = seen
    assert (mode, directory_mode) == (0o600, 0o700)
    assert not path.parent.exists()


def test_a_certificate_does_not_show_its_key() -> None:
    own = make_certificate(NOW)
    assert own.key.decode().splitlines()[1] not in repr(own)
