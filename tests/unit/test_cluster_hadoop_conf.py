"""Hadoop's configuration files: references, includes, and where the services are."""

from __future__ import annotations

from pathlib import Path

import pytest

from sparkkernels.cluster.hadoop_conf import HadoopConf, expand, read_hadoop_conf
from sparkkernels.errors import ConfigurationError


def make_conf(**properties: str) -> HadoopConf:
    return HadoopConf(
        "/etc/hadoop",
        {name.replace("__", "-").replace("_", "."): value for name, value in properties.items()},
    )


def site(**properties: str) -> str:
    rows = "".join(
        f"<property><name>{name.replace('_', '.')}</name><value>{value}</value></property>"
        for name, value in properties.items()
    )
    return f"<?xml version='1.0'?><configuration>{rows}</configuration>"


@pytest.mark.parametrize(
    ("value", "expanded"),
    [
        ("${host}:8088", "rm.example:8088"),
        ("${outer}/x", "rm.example:1/x"),
        ("${unknown}:1", "${unknown}:1"),
        ("${env.REALM}", "EXAMPLE"),
        ("${env.NOTHING:-fallback}-${env.EMPTY-other}", "fallback-other"),
        ("${loop}", "${loop}"),
        ("plain $ {x}", "plain $ {x}"),
    ],
)
def test_references_are_expanded_as_hadoop_does(value: str, expanded: str) -> None:
    settings = {"host": "rm.example", "outer": "${host}:1", "loop": "${loop}"}
    assert expand(value, settings.get, {"REALM": "EXAMPLE", "EMPTY": ""}) == expanded


def test_mutual_references_end() -> None:
    assert expand("${a}", {"a": "${b}", "b": "${a}"}.get, {}) in ("${a}", "${b}")


def test_one_resource_manager() -> None:
    conf = make_conf(yarn_resourcemanager_hostname="rm1")
    assert conf.resource_managers() == ["http://rm1:8088"]


def test_https_only() -> None:
    conf = make_conf(yarn_resourcemanager_hostname="rm1", yarn_http_policy="HTTPS_ONLY")
    assert conf.resource_managers() == ["https://rm1:8090"]


def test_every_interface_means_the_host() -> None:
    conf = make_conf(yarn_resourcemanager_hostname="rm1", yarn_resourcemanager_webapp_address="0.0.0.0:9999")
    assert conf.resource_managers() == ["http://rm1:9999"]


def test_two_resource_managers() -> None:
    conf = HadoopConf(
        "/etc/hadoop",
        {
            "yarn.resourcemanager.ha.enabled": "true",
            "yarn.resourcemanager.ha.rm-ids": "a, b",
            "yarn.resourcemanager.hostname.a": "rm1",
            "yarn.resourcemanager.hostname.b": "rm2",
            "yarn.resourcemanager.webapp.address.b": "${yarn.resourcemanager.hostname.b}:9000",
        },
    )
    assert conf.resource_managers() == ["http://rm1:8088", "http://rm2:9000"]


def test_no_resource_manager_is_said_with_the_directory() -> None:
    with pytest.raises(
        ConfigurationError, match=r"HADOOP_CONF_DIR=/etc/hadoop .*yarn\.resourcemanager\.hostname"
    ):
        make_conf().resource_managers()


@pytest.mark.parametrize(
    ("properties", "addresses"),
    [
        ({"fs.defaultFS": "hdfs://nn1:8020"}, ["http://nn1:9870"]),
        (
            {
                "fs.defaultFS": "hdfs://nn1",
                "dfs.http.policy": "HTTPS_ONLY",
                "dfs.namenode.https-address": "nn1:1",
            },
            ["https://nn1:1"],
        ),
        (
            {
                "fs.defaultFS": "hdfs://prod",
                "dfs.nameservices": "prod,other",
                "dfs.ha.namenodes.prod": "x,y",
                "dfs.namenode.http-address.prod.x": "nn1:9870",
                "dfs.namenode.http-address.prod.y": "nn2:9870",
            },
            ["http://nn1:9870", "http://nn2:9870"],
        ),
        ({"fs.defaultFS": "swebhdfs://nn1:9871"}, ["https://nn1:9871"]),
        ({"fs.defaultFS": "viewfs://cluster"}, []),
        ({"fs.defaultFS": "s3a://bucket"}, []),
        ({}, []),
    ],
)
def test_webhdfs(properties: dict[str, str], addresses: list[str]) -> None:
    assert HadoopConf("/etc/hadoop", properties).webhdfs() == addresses


def test_files_are_read_in_hadoops_order_with_includes_and_attributes(tmp_path: Path) -> None:
    (tmp_path / "core-site.xml").write_text(site(fs_defaultFS="hdfs://nn", shared="core"))
    (tmp_path / "more.xml").write_text(site(yarn_resourcemanager_hostname="rm1"))
    (tmp_path / "yarn-site.xml").write_text(
        '<configuration xmlns:xi="http://www.w3.org/2001/XInclude"><xi:include href="more.xml"/>'
        '<property name="shared" value=" ${env.WHO} "/>'
        "<property><name>empty</name></property></configuration>"
    )
    conf = read_hadoop_conf(str(tmp_path), {"WHO": "yarn"})
    assert conf.default_fs == "hdfs://nn"
    assert conf.get("shared") == "yarn"
    assert conf.resource_managers() == ["http://rm1:8088"]
    assert conf.get("empty", "none") == "none"
    assert not conf.is_secure


@pytest.mark.parametrize("name", ["", "missing", "empty", "broken"])
def test_an_unusable_directory_is_named(tmp_path: Path, name: str) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "yarn-site.xml").write_text("<configuration>")
    with pytest.raises(ConfigurationError, match="HADOOP_CONF_DIR") as raised:
        read_hadoop_conf(str(tmp_path / name) if name else "", {})
    assert name in raised.value.message
