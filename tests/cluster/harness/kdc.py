"""The KDC of a cluster's realm: MIT's, with a database of its own and keytabs for everybody."""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
from pathlib import Path

from tests.cluster.harness.errors import HarnessError
from tests.cluster.harness.kerberos import PEOPLE, REALM, SERVICES, Realm

_PACKAGES = {
    "krb5kdc": "krb5-kdc",
    "kdb5_util": "krb5-kdc",
    "kadmin.local": "krb5-admin-server",
    "kinit": "krb5-user",
}
_COMMAND_TIMEOUT_S = 30

# In the form of several lines, which alone Java understands. Names are used as they are: no lookups, which
# would need this machine's name service to say what we mean. Java sends TCP only when told so.
_KRB5_CONF = """\
[libdefaults]
  default_realm = {realm}
  dns_lookup_kdc = false
  dns_lookup_realm = false
  dns_canonicalize_hostname = false
  rdns = false
  udp_preference_limit = 1

[realms]
  {realm} = {{
    kdc = 127.0.0.1:{port}
  }}

[domain_realm]
  localhost = {realm}
"""

_KDC_CONF = """\
[kdcdefaults]
  kdc_listen = ""
  kdc_tcp_listen = 127.0.0.1:{port}

[realms]
  {realm} = {{
    database_name = {database}/principal
    key_stash_file = {database}/stash
    max_life = 24h
    max_renewable_life = 7d
    supported_enctypes = aes256-cts-hmac-sha1-96:normal aes128-cts-hmac-sha1-96:normal
  }}

[logging]
  kdc = STDERR
"""


def check_requirements() -> None:
    """Make sure that there can be a KDC here.

    Raises
    ------
    HarnessError
        When a program is missing.
    """
    missing = sorted({package for program, package in _PACKAGES.items() if not _find(program)})
    if missing:
        raise HarnessError(f"A cluster with Kerberos (--kerberos) needs Debian's {', '.join(missing)}.")


def create(realm: Realm, port: int) -> None:
    """Make a realm: its configuration, its database, and a keytab for each of its principals.

    Parameters
    ----------
    realm : Realm
        Nothing of it exists yet.
    port : int
        Where the KDC will listen.

    Raises
    ------
    HarnessError
        When MIT's programs fail.
    """
    database = _database(realm)
    keytabs = realm.keytab(PEOPLE[0]).parent
    for directory, mode in ((realm.directory, 0o755), (keytabs, 0o755), (realm.caches, 0o700)):
        directory.mkdir(mode=mode)
    database.mkdir(mode=0o700)
    realm.conf.write_text(_KRB5_CONF.format(realm=REALM, port=port))
    _profile(realm).write_text(_KDC_CONF.format(realm=REALM, port=port, database=database))
    realm.http_secret.touch(mode=0o600)
    realm.http_secret.write_text(secrets.token_hex(32))
    # Both read it from their input: a command line is no place for a password, be it one that nobody needs.
    password = secrets.token_hex(16)
    _run(realm, ["kdb5_util", "create", "-s"], f"{password}\n{password}\n")
    commands = ""
    for name in (*SERVICES, *PEOPLE):
        commands += f"add_principal -randkey {realm.principal(name)}\n"
        commands += f"ktadd -k {realm.keytab(name)} -norandkey {realm.principal(name)}\n"
    output = _run(realm, ["kadmin.local"], commands)
    for name in (*SERVICES, *PEOPLE):
        # kadmin.local ends well whatever became of the commands it read.
        if not realm.keytab(name).is_file():
            raise HarnessError(f"kadmin.local made no keytab for {realm.principal(name)}.\n{output}")
        realm.keytab(name).chmod(0o600)


def command(pid_file: str) -> list[str]:
    """Give the KDC's command line."""
    return [_find("krb5kdc") or "krb5kdc", "-n", "-P", pid_file]


def environment(realm: Realm) -> dict[str, str]:
    """Give the variables that a KDC finds its configuration by."""
    return {"KRB5_CONFIG": str(realm.conf), "KRB5_KDC_PROFILE": str(_profile(realm))}


def _database(realm: Realm) -> Path:
    return realm.directory / "database"


def _profile(realm: Realm) -> Path:
    return realm.directory / "kdc.conf"


def _find(program: str) -> str | None:
    """Find a program, those for administrators included."""
    path = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"])
    return shutil.which(program, path=path)


def _run(realm: Realm, command: list[str], text: str) -> str:
    """Run one of MIT's programs for administrators, and give all it printed."""
    try:
        done = subprocess.run(
            [_find(command[0]) or command[0], *command[1:]],
            env={**os.environ, **environment(realm)},
            input=text,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=_COMMAND_TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise HarnessError(f"{command[0]} did not end within {_COMMAND_TIMEOUT_S} s.") from None
    if done.returncode != 0:
        raise HarnessError(f"{command[0]} failed (exit code {done.returncode}).\n{done.stdout}")
    return done.stdout
