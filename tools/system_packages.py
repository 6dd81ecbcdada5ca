"""Install the Debian packages that the tests need and that are missing; without root, say which and stop.

`python tools/system_packages.py [PACKAGE…]`: those only; some are needed before anything can be built.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Callable, Sequence


def program(name: str) -> Callable[[], bool]:
    """Whether there is a program of this name, those for administrators included."""
    path = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"])
    return lambda: shutil.which(name, path=path) is not None


def java_17() -> bool:
    """Whether JAVA_HOME or PATH has a Java 17, which Hadoop 3.5 and Spark 3.5 have in common."""
    homes = [os.path.join(os.environ.get("JAVA_HOME", ""), "bin", "java"), shutil.which("java")]
    for java in homes:
        if java and os.access(java, os.X_OK):
            told = subprocess.run([java, "-version"], capture_output=True, text=True, check=False).stderr
            if re.search(r'version "17[."]', told):
                return True
    return False


def python_headers() -> bool:
    """Whether this Python can compile extensions."""
    return os.path.isfile(os.path.join(sysconfig.get_path("include"), "Python.h"))


def irkernel() -> bool:
    """Whether R has IRkernel."""
    if shutil.which("R") is None:
        return False
    look = "quit(status = !requireNamespace('IRkernel', quietly = TRUE))"
    return subprocess.run(["R", "--slave", "-e", look], capture_output=True, check=False).returncode == 0


#: Debian package, whether it is needed no more, and what for.
NEEDED: list[tuple[str, Callable[[], bool], str]] = [
    ("openjdk-17-jre-headless", java_17, "Java 17 for Hadoop's daemons and Spark"),
    ("maven", program("mvn"), "fetches Hadoop's jars"),
    ("iproute2", program("ip"), "network namespaces for clusters of several hosts"),
    ("nftables", program("nft"), "firewalls between them"),
    ("util-linux", program("unshare"), "processes in namespaces"),
    ("krb5-kdc", program("krb5kdc"), "the KDC of clusters with Kerberos"),
    ("krb5-admin-server", program("kadmin.local"), "makes its principals and keytabs"),
    ("krb5-user", program("kinit"), "tickets"),
    ("libkrb5-dev", program("krb5-config"), "gssapi and krb5, which PyPI has as source only"),
    ("build-essential", program("cc"), "compiles them"),
    ("python3-dev", python_headers, "is what they are compiled with"),
    ("faketime", program("faketime"), "a clock that is wrong"),
    ("sudo", program("sudo"), "servers under accounts of their own"),
    ("r-base-core", program("R"), "R kernels"),
    ("r-cran-irkernel", irkernel, "R's part in them"),
]


def main(only: Sequence[str] = ()) -> int:
    """Install what is missing, of these packages or of all."""
    needed = [row for row in NEEDED if not only or row[0] in only]
    missing = [(package, why) for package, present, why in needed if not present()]
    if not missing and (only or os.geteuid() == 0):
        return 0
    if not missing:
        print(
            "The tests make network namespaces, accounts and sudo rules, so they need root.", file=sys.stderr
        )
        return 1
    names = [package for package, _ in missing]
    install = ["apt-get", "install", "--yes", "--no-install-recommends", *names]
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        print("The tests need what is missing on this machine:", file=sys.stderr)
        for package, why in missing:
            print(f"  {package:24} {why}", file=sys.stderr)
        print(f"On Debian, as root: {' '.join(install)}", file=sys.stderr)
        return 1
    print(f"Installing {' '.join(names)}", flush=True)
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for command in (["apt-get", "update"], install):
        done = subprocess.run(
            command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
        )
        if done.returncode != 0:
            print(done.stdout, file=sys.stderr)
            print(f"`{' '.join(command)}` failed.", file=sys.stderr)
            return 1
    still = [package for package, present, _ in needed if not present()]
    if still:
        print(f"Installed, but still not usable: {' '.join(still)}.", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
