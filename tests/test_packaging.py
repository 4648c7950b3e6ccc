"""What people install and type: requirements, lock, the engines' commands, the package's data."""

import re
import shlex
import tomllib
from importlib import resources
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from ruamel.yaml import YAML

from dpc.cli import command_parser
from dpc.clip.spec import EMBEDDED_MODELS
from dpc.icons.families import FAMILIES
from dpc.params.load import description_for, preset, preset_heading, presets
from dpc.params.render import render

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
REQUIREMENTS = [*PROJECT["dependencies"], *PROJECT["optional-dependencies"]["test"]]
LOCK = (ROOT / "requirements.lock").read_text(encoding="utf-8")
SMALL = dict.fromkeys(("dataset", "tested", "target", "source"), "icons-tabler")
SMALL |= {"backbone": "coop", "baseline": "linear_probe", "sweep": "negatives", "seed": "1"}


def yaml(path):
    return YAML(typ="safe").load((ROOT / path).read_text(encoding="utf-8"))


def locked():
    """Name -> (version, the hashes) of every package of the lock."""
    text = re.sub(r"\s*\\\n\s*", " ", LOCK)
    found = {}
    for line in text.splitlines():
        if line and line[0] not in "# ":
            name, version = line.split()[0].split("==")
            assert canonicalize_name(name) not in found, f"{name} stands twice"
            found[canonicalize_name(name)] = (version, re.findall(r"--hash=sha256:\w{64}", line))
    return found


def parsed(command):
    """What the command line makes of one of our commands; it must understand every word."""
    words = shlex.split(command)
    assert words[0] == "dpc", command
    return command_parser().parse_args(words[1:])


def test_conda_gets_the_same_requirements():
    environment = yaml("environment.yml")
    *conda, pip = environment["dependencies"]
    assert conda == [f"python{PROJECT['requires-python']}", "pip"]
    assert pip["pip"] == [*REQUIREMENTS, "-e ."]


@pytest.mark.parametrize("requirement", REQUIREMENTS)
def test_the_lock_holds_an_allowed_version(requirement):
    wanted = Requirement(requirement)
    version, _ = locked()[canonicalize_name(wanted.name)]
    assert wanted.specifier.contains(version, prereleases=True)


def test_the_lock_pins_by_hash_and_names_no_place():
    packages = locked()
    assert len(packages) > len(REQUIREMENTS)
    assert [name for name, (_, hashes) in packages.items() if not hashes] == []
    assert re.findall(r"https?:|file:/|^-|^\s*--(?!hash)|@", LOCK, re.MULTILINE) == []
    assert "make lock" in LOCK[:300]


def test_the_lock_needs_nothing_else_to_build_the_package():
    assert "setuptools" in locked()


def test_icon_packages_have_the_version_that_their_names_were_taken_from():
    pinned = {canonicalize_name(r.name): str(r.specifier) for r in map(Requirement, REQUIREMENTS)}
    for family in FAMILIES.values():
        assert pinned[canonicalize_name(family.package)] == f"=={family.version}"


@pytest.mark.parametrize("name", yaml("dvc.yaml")["stages"])
def test_dvc_commands_are_understood(name):
    command = yaml("dvc.yaml")["stages"][name]["cmd"]
    for key, value in SMALL.items():
        command = command.replace(f"${{item.{key}}}", value)
    assert "$" not in command
    assert parsed(command).command in (name, _stage(name))


def rules():
    """Rule -> its shell command up to where it redirects, of all rules."""
    text = "\n".join(path.read_text() for path in sorted((ROOT / "workflow/rules").glob("*.smk")))
    found = {}
    for name, body in re.findall(r"^rule (\w+):\n((?:\s.*\n|\n)+)", text, re.MULTILINE):
        shell = "".join(re.findall(r'"((?:[^"\\]|\\.)*)"', body.partition("shell:")[2]))
        found[name] = shell.partition(" 2> ")[0]
    return found


@pytest.mark.parametrize("name", rules())
def test_snakemake_commands_are_understood(name):
    command = rules()[name]
    for key, value in SMALL.items():
        command = command.replace(f"{{wildcards.{key}}}", value)
    assert "{" not in command
    assert parsed(command).command == _stage(name)


def test_no_rule_asks_for_a_number_of_cores_that_a_cluster_does_not_have():
    for path in (ROOT / "workflow/rules").glob("*.smk"):
        assert "workflow.cores" not in path.read_text()  # an error without --cores


def test_both_engines_have_the_same_stages():
    dvc = {_stage(name) for name in yaml("dvc.yaml")["stages"]} - {"slices"}
    assert dvc == {_stage(name) for name in rules()}
    assert {"budget", "evaluate_budget", "evaluate_zero_shot"} <= set(rules())
    assert set(rules()) >= set(yaml("workflow/profiles/slurm/config.yaml")["set-resources"])


def _stage(name):
    """The command that a stage of DVC or a rule of Snakemake stands for."""
    special = {"budget": "tune", "two_step": "finetune"}
    return special.get(name, name.partition("_")[0])


@pytest.mark.skipif(not (ROOT / "params.yaml").is_file(), reason="no params.yaml here")
def test_params_yaml_is_the_icons_preset():
    values = preset("icons")
    expected = render(values, description_for(values), preset_heading("icons"))
    fix = "run: dpc params --preset icons --out params.yaml"
    assert (ROOT / "params.yaml").read_text(encoding="utf-8") == expected, fix


def test_the_package_carries_its_data():
    package = resources.files("dpc")
    assert {"icons", "smoke"} <= set(presets())
    for place in (
        f"clip/weights/{n}.{s}" for n in EMBEDDED_MODELS for s in ("safetensors", "json")
    ):
        assert package.joinpath(place).is_file(), place
    assert package.joinpath("report/page.html.j2").is_file()


def test_package_data_names_every_file_that_is_not_python():
    patterns = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]
    source = ROOT / "src" / "dpc"
    named = {path for each in patterns["package-data"]["dpc"] for path in source.glob(each)}
    files = (path for path in source.rglob("*") if path.is_file())
    others = {path for path in files if path.suffix not in (".py", ".pyc")}
    assert sorted(str(path.relative_to(source)) for path in others - named) == []


def test_the_version_is_said_once_and_alike():
    from dpc import __version__

    assert yaml("CITATION.cff")["version"] == __version__
    assert f"## {__version__}" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
