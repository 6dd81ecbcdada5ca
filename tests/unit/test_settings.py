"""Where a setting comes from: the stanza, the configuration, the environment, the default."""

from __future__ import annotations

import os
import sys

import pytest
from traitlets.config import Config

from sparkkernels.errors import ConfigurationError
from sparkkernels.provisioner import refuse_unknown
from sparkkernels.settings import Settings


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith(("SPARKKERNELS_", "SPARK_HOME", "HADOOP_CONF", "YARN_CONF")):
            monkeypatch.delenv(name)


def test_the_stanza_wins_over_the_configuration_over_the_environment_over_the_default(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert Settings().launch_timeout_s == 120
    monkeypatch.setenv("SPARKKERNELS_LAUNCH_TIMEOUT_S", "1.5")
    assert Settings().launch_timeout_s == 1.5
    config = Config({"Settings": {"launch_timeout_s": 2.0}})
    assert Settings(config=config).launch_timeout_s == 2
    assert Settings(config=config, launch_timeout_s=3.0).launch_timeout_s == 3


def test_spark_settings_of_the_stanza_are_added_to_those_of_the_configuration() -> None:
    config = Config({"Settings": {"spark_conf": {"spark.a": "1", "spark.b": "1"}}})
    merged = Settings(config=config, spark_conf={"spark.b": "2"}).spark_conf
    assert merged == {"spark.a": "1", "spark.b": "2"}


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("master", "local[2]", "local[2]"),
        ("relay_port", "8765", 8765),
        ("spark_context", "none", "none"),
        ("queue", "root.a", "root.a"),
        ("spark_conf", '{"spark.a": "b"}', {"spark.a": "b"}),
        ("relay_addresses", '["a", "b"]', ["a", "b"]),
    ],
)
def test_the_environment_is_read_strictly(
    monkeypatch: pytest.MonkeyPatch, name: str, text: str, value: object
) -> None:
    monkeypatch.setenv(f"SPARKKERNELS_{name.upper()}", text)
    assert getattr(Settings(), name) == value


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("relay_port", "any"),
        ("relay_port", "1.5"),
        ("relay_port", ""),
        ("orphan_timeout_s", "False"),
        ("spark_context", "lazy"),
        ("spark_conf", "spark.a=b"),
        ("spark_conf", '["spark.a"]'),
        ("spark_conf", '{"spark.a": 1}'),
        ("relay_addresses", "a,b"),
    ],
)
def test_what_is_no_such_value_is_refused_by_name(
    monkeypatch: pytest.MonkeyPatch, name: str, text: str
) -> None:
    variable = f"SPARKKERNELS_{name.upper()}"
    monkeypatch.setenv(variable, text)
    with pytest.raises(ConfigurationError, match=f"^The environment variable {variable} is not "):
        Settings()


def test_names_of_the_ecosystem_are_used(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Settings().python == sys.executable
    monkeypatch.setenv("SPARK_HOME", "/opt/spark")
    monkeypatch.setenv("YARN_CONF_DIR", "/etc/yarn")
    assert (Settings().spark_home, Settings().hadoop_conf_dir) == ("/opt/spark", "/etc/yarn")
    monkeypatch.setenv("HADOOP_CONF_DIR", "/etc/hadoop")
    assert Settings().hadoop_conf_dir == "/etc/hadoop"


def test_a_setting_that_does_not_exist_is_refused_with_the_likeliest_one() -> None:
    with pytest.raises(ConfigurationError) as caught:
        refuse_unknown(["lunch_timeout_s"], Settings().trait_names())
    assert "launch_timeout_s" in caught.value.hint
