"""What is installed, and that the documents say what the code does."""

from __future__ import annotations

import importlib.metadata
import json
import re
import tomllib
import xml.etree.ElementTree
from pathlib import Path

import pytest
from jupyter_client.provisioning.provisioner_base import KernelProvisionerBase

import sparkkernels
from sparkkernels.cli.main import build_parser
from sparkkernels.cluster.command import FORCED, LOCAL_DEFAULTS, YARN_DEFAULTS, parse_spark_defaults
from sparkkernels.settings import Settings

ROOT = Path(__file__).resolve().parents[2]


def document(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def test_jupyter_client_finds_the_provisioner() -> None:
    (entry,) = importlib.metadata.entry_points(
        group="jupyter_client.kernel_provisioners", name="spark-provisioner"
    )
    assert issubclass(entry.load(), KernelProvisionerBase)
    (script,) = importlib.metadata.entry_points(group="console_scripts", name="jupyter-sparkkernels")
    assert callable(script.load())


def test_one_version_everywhere() -> None:
    assert f'version="{sparkkernels.__version__}"' in document("setup.py")
    assert f"\n## {sparkkernels.__version__}" in document("CHANGELOG.md")


def test_every_launcher_and_data_folder_is_packaged() -> None:
    setup = document("setup.py")
    for package in (ROOT / "launchers").glob("*/__init__.py"):
        assert f'"{package.parent.name}": "launchers/{package.parent.name}"' in setup
    assert '"sparkkernels.spark_conf": "spark-conf"' in setup
    assert (ROOT / "sparkkernels" / "py.typed").is_file()


def test_every_setting_is_documented_with_its_default() -> None:
    table = dict(re.findall(r"^\| `(\w+)` +\| .* \| +([^|]*?) *\|$", document("docs/configuration.md"), re.M))
    traits = {name: trait for name, trait in Settings.class_traits(config=True).items() if trait.help}
    assert set(table) >= set(traits)
    for name, trait in traits.items():
        if isinstance(trait.default_value, (int, float)):
            assert table[name].startswith(f"{trait.default_value:g}"), name


def test_every_spark_setting_of_ours_is_documented() -> None:
    text = document("docs/configuration.md")
    for name in [*FORCED, *YARN_DEFAULTS, *LOCAL_DEFAULTS]:
        # `spark.a.b`, or `.b` after a longer one that it shares its beginning with
        assert any(f"`{name[i:]}`" in text for i in [0, *(m.start() for m in re.finditer(r"\.", name))]), name


def test_every_option_is_documented() -> None:
    text = document("docs/install.md")
    commands = build_parser()._subparsers
    assert commands is not None
    for action in commands._group_actions:
        assert isinstance(action.choices, dict)
        for command, parser in action.choices.items():
            assert f"`jupyter sparkkernels {command}" in text
            if command == "install":
                for option in parser._option_string_actions:
                    assert option in ("-h", "--help") or f"`{option}" in text, option


def test_the_readme_begins_with_two_commands() -> None:
    readme = document("README.md")
    first = re.search(r"```\n(.*?)```", readme, re.S)
    assert first is not None
    assert first[1].splitlines() == ["make demo", "make test"]
    makefile = document("Makefile")
    for command in first[1].splitlines():
        assert re.search(rf"^{command.split()[1]}:", makefile, re.M)
    assert "make --no-print-directory test" in document(".ci/run")
    for link in re.findall(r"\]\(([^)#]+)\)", readme):
        assert (ROOT / link).exists(), link


def test_the_ruff_target_of_launchers_is_the_oldest_python_they_run_on() -> None:
    ruff = tomllib.loads(document("pyproject.toml"))["tool"]["ruff"]
    assert ruff["per-file-target-version"]["launchers/**"] == "py38"


@pytest.mark.parametrize("path", sorted((ROOT / "spark-conf").iterdir()), ids=lambda path: path.name)
def test_settings_for_the_administrator_are_well_formed(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".xml":
        properties = xml.etree.ElementTree.fromstring(text).findall("property")
        names = [item.findtext("name") for item in properties]
        assert names
        assert all(names)
        assert all(item.findtext("value") for item in properties)
    elif path.name == "spark-defaults.conf":
        active = [line for line in text.splitlines() if line and not line.startswith("#")]
        names = list(parse_spark_defaults(text))
        assert len(names) == len(active) == len(set(names))
        assert not set(names) & set(FORCED)


@pytest.mark.parametrize(
    ("name", "mark"), [("flights", '"{}"'), ("flights-r", "  {} = "), ("flights-scala", '"{}" -> ')]
)
def test_the_notebooks_are_clean_and_their_figures_are_complete(name: str, mark: str) -> None:
    notebook = json.loads(document(f"examples/{name}.ipynb"))
    code = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert all(cell["outputs"] == [] and cell["execution_count"] is None for cell in code)
    assert code[0]["metadata"]["tags"] == ["parameters"]
    last = "".join(code[-1]["source"])
    for figure in json.loads(document("examples/flights-expected.json")):
        assert mark.format(figure) in last
