"""Settings: kernelspec > server configuration > environment > default; the environment is read strictly."""

from __future__ import annotations

import sys
from typing import Any

import pytest
from traitlets.config import Config

from sparkkernels.errors import ConfigurationError
from sparkkernels.settings import PREFIX, Settings

#: For one trait of every kind: its default, and values of environment, configuration and kernelspec.
LAYERS: dict[str, tuple[Any, tuple[str, Any], Any, Any]] = {
    "master": ("yarn", ("local[1]", "local[1]"), "local[2]", "local[3]"),
    "launch_timeout_s": (120.0, ("7.5", 7.5), 8.0, 9.0),
    "relay_port": (0, ("7001", 7001), 7002, 7003),
    "spark_context": ("eager", ("none", "none"), "eager", "none"),
    "queue": (None, ("one", "one"), "two", "three"),
    "relay_addresses": ([], ('["a", "b"]', ["a", "b"]), ["c"], ["d"]),
    "spark_conf": ({}, ('{"spark.a": "1"}', {"spark.a": "1"}), {"spark.b": "2"}, {"spark.c": "3"}),
}


@pytest.fixture(autouse=True)
def no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in Settings.class_trait_names(config=True):
        monkeypatch.delenv(PREFIX + name.upper(), raising=False)
    for name in ("SPARK_HOME", "HADOOP_CONF_DIR", "YARN_CONF_DIR"):
        monkeypatch.delenv(name, raising=False)


def configured(name: str, value: Any) -> Config:
    return Config({"Settings": {name: value}})


@pytest.mark.parametrize("name", LAYERS)
def test_each_layer_wins_over_those_below_it(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    default, (text, from_environment), from_config, from_stanza = LAYERS[name]
    assert getattr(Settings(), name) == default
    monkeypatch.setenv(PREFIX + name.upper(), text)
    assert getattr(Settings(), name) == from_environment
    assert getattr(Settings(config=configured(name, from_config)), name) == from_config
    both = getattr(Settings(config=configured(name, from_config), **{name: from_stanza}), name)
    assert both == ({**from_config, **from_stanza} if isinstance(from_stanza, dict) else from_stanza)
    assert getattr(Settings(**{name: from_stanza}), name) == from_stanza


def test_every_setting_can_come_from_the_environment() -> None:
    """One that is forgotten in the table of readers would be read as a text."""
    kinds = {type(trait).__name__ for trait in Settings.class_traits(config=True).values()}
    assert kinds == {"Unicode", "Enum", "Float", "Int", "Dict", "List"}


def test_a_kernelspecs_spark_conf_is_added_to_the_servers_and_wins() -> None:
    config = configured("spark_conf", {"spark.a": "server", "spark.b": "server"})
    settings = Settings(config=config, spark_conf={"spark.b": "spec", "spark.c": "spec"})
    assert settings.spark_conf == {"spark.a": "server", "spark.b": "spec", "spark.c": "spec"}
    assert config.Settings.spark_conf == {"spark.a": "server", "spark.b": "server"}


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("launch_timeout_s", "soon"),
        ("launch_timeout_s", ""),
        ("launch_timeout_s", "1,5"),
        ("relay_port", "7.5"),
        ("relay_port", "false"),
        ("relay_port", ""),
        ("spark_context", "lazy"),
        ("spark_context", "None"),
        ("spark_conf", "spark.a=1"),
        ("spark_conf", '["spark.a"]'),
        ("spark_conf", '{"spark.a": 1}'),
        ("spark_conf", "{"),
        ("relay_addresses", "a,b"),
        ("relay_addresses", '"a"'),
        ("relay_addresses", "[1]"),
        ("staging_admins", "null"),
    ],
)
def test_the_environment_is_read_strictly(name: str, text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    variable = PREFIX + name.upper()
    monkeypatch.setenv(variable, text)
    with pytest.raises(ConfigurationError) as caught:
        Settings()
    message = str(caught.value)
    assert message.startswith(f"The environment variable {variable} is not a") or (
        message.startswith(f"The environment variable {variable} is not one of")
    )
    assert repr(text) in message and variable in caught.value.hint


def test_a_value_from_above_hides_a_wrong_one_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(PREFIX + "RELAY_PORT", "any")
    assert Settings(relay_port=7000).relay_port == 7000
    assert Settings(config=configured("relay_port", 7000)).relay_port == 7000


def test_defaults_have_the_ecosystems_names(monkeypatch: pytest.MonkeyPatch) -> None:
    assert (Settings().python, Settings().spark_home, Settings().hadoop_conf_dir) == (sys.executable, "", "")
    monkeypatch.setenv("SPARK_HOME", "/spark")
    monkeypatch.setenv("YARN_CONF_DIR", "/yarn")
    assert (Settings().spark_home, Settings().hadoop_conf_dir) == ("/spark", "/yarn")
    monkeypatch.setenv("HADOOP_CONF_DIR", "/hadoop")
    assert Settings().hadoop_conf_dir == "/hadoop"
    monkeypatch.setenv(PREFIX + "SPARK_HOME", "/other")
    assert Settings().spark_home == "/other"


def test_all_settings_have_a_help_text() -> None:
    for name, trait in Settings.class_traits(config=True).items():
        assert len(str(trait.help)) > 20, name
