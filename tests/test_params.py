"""params.yaml: complete, readable, and every mistake in one line."""

import dataclasses
from pathlib import Path

import pytest
from composed import preset
from ruamel.yaml import YAML

from dpc.cli import main
from dpc.errors import ParamsError
from dpc.params.load import (
    as_dict,
    checked,
    compose,
    description_for,
    load,
    preset_heading,
    presets,
)
from dpc.params.render import render, scalar

ROOT = Path(__file__).parents[1]


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture()
def smoke():
    return preset("smoke")


def lines(values) -> list[str]:
    with pytest.raises(ParamsError) as caught:
        checked(values)
    return caught.value.problems


@pytest.mark.parametrize("name", presets())
def test_a_preset_is_complete_valid_and_says_what_it_is(name):
    values = preset(name)
    checked(values)
    text = render(values, description_for(values), preset_heading(name))
    assert YAML(typ="safe").load(text) == values
    import yaml

    assert yaml.safe_load(text) == values  # Snakemake and others read YAML 1.1
    heading = preset_heading(name)
    assert heading.startswith(f"{name}: ")
    assert all(word in heading for word in ("Reproduces ", "On: ", "Time: ", "Result: "))


def test_every_key_has_a_comment_above_it(smoke):
    """Names under sweeps are the user's own; the keys below them are explained at the first."""
    text = render(smoke, description_for(smoke)).splitlines()
    explained, of_the_user, seen = True, None, set()
    for number, line in enumerate(text):
        key, depth = line.strip().partition(":")[0], len(line) - len(line.lstrip())
        if not key or key.startswith(("#", "-")):
            continue
        if of_the_user is not None and depth > of_the_user:
            own_name = depth == of_the_user + 2 or depth > of_the_user + 4
            explained = own_name or (depth, key) in seen
            seen.add((depth, key))
        else:
            of_the_user, explained = (depth if line == "sweeps:" else None), False
        assert explained or text[number - 1].strip().startswith("#"), line


def test_params_yaml_is_the_default_preset():
    values = preset("icons")
    expected = render(values, description_for(values), preset_heading("icons"))
    assert (ROOT / "params.yaml").read_text() == expected


def test_typed_params_hold_what_the_file_says(smoke):
    params = checked(smoke)
    assert as_dict(params) == smoke
    assert dataclasses.is_dataclass(params.dpc.negatives)


def test_an_unknown_key_names_the_nearest(smoke):
    smoke["dpc"]["weigth"] = 0.3
    (line,) = lines(smoke)
    assert line.startswith(
        "params.yaml: dpc.weigth is not a parameter; did you mean dpc.weight? (known: average, "
    )


def test_all_problems_come_together(smoke):
    smoke["dpc"]["weight"] = 1.5
    smoke["dpc"]["epochs"] = "ten"
    smoke["data"]["test_cap"] = 1.5
    smoke["run"]["seeds"] = [1, 1]
    smoke["clip"]["precision"] = "fp23"
    smoke["backbones"]["coop"]["lr"] = True
    del smoke["data"]["val_shots"]
    found = lines(smoke)
    assert "params.yaml: dpc.weight is 1.5; a number in [0, 1] is expected" in found
    assert (
        "params.yaml: dpc.epochs is 'ten' (text); a whole number of at least 1 is expected" in found
    )
    assert any("data.test_cap is 1.5" in line for line in found)
    assert any("run.seeds holds 1 twice" in line for line in found)
    assert any("clip.precision is 'fp23' (text); did you mean fp32?" in line for line in found)
    assert any("backbones.coop.lr is true" in line for line in found)
    assert any("data.val_shots is missing" in line for line in found)
    assert len(found) == 7


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -0.1, 1.01, "0.2", None, [0.2]])
def test_a_weight_is_a_number_from_0_to_1(smoke, value):
    smoke["dpc"]["weight"] = value
    (line,) = lines(smoke)
    assert "a number in [0, 1] is expected" in line


def test_contradictions(smoke):
    smoke["run"]["datasets"] = ["icons-tablr"]
    smoke["run"]["budget"] = ["coop", "maple"]
    smoke["dpc"] |= {"parametrization": "mixed", "weight": 0.0}
    smoke["clip"]["model"] = "ViT-B-16"
    found = lines(smoke)
    assert any(
        "dataset 'icons-tablr' does not exist; did you mean icons-tabler?" in x for x in found
    )
    assert any("run.budget: 'maple' is not in run.backbones" in x for x in found)
    assert any("dpc: weight 0 and parametrization mixed contradict" in x for x in found)
    assert any("'embedded' belongs to" in x for x in found)


def test_overrides_are_hydras(smoke):
    values = compose(smoke, ["dpc.weight=0.4", "run.seeds=[7,8]", "backbones.coop.init=null"], "p")
    assert values["dpc"]["weight"] == 0.4
    assert values["run"]["seeds"] == [7, 8]
    assert values["backbones"]["coop"]["init"] is None


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("coop.lr=1", "coop.lr is not a parameter; did you mean backbones.coop.lr?"),
        ("+dpc.nosuch=1", "dpc.nosuch is not a parameter"),
        ("dpc.weight", "override not understood"),
    ],
)
def test_a_wrong_override_is_one_line(smoke, override, words):
    with pytest.raises(ParamsError, match=words.replace("(", r"\(").replace("?", r"\?")) as caught:
        compose(smoke, [override], "params.yaml")
    assert len(str(caught.value).splitlines()) == 1


def test_an_override_is_checked_like_the_file(tmp_path):
    assert main(["params", "--preset", "smoke", "--out", "params.yaml"]) == 0
    with pytest.raises(ParamsError, match=r"dpc\.weight is 7"):
        load(Path("params.yaml"), ["dpc.weight=7"])


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "params.yaml is missing; `dpc params > params.yaml` writes a complete one"),
        ("a: [", "params.yaml is not valid YAML"),
        ("a: 1\na: 2\n", "params.yaml is not valid YAML"),
        ("- 1\n", "params.yaml holds no parameters"),
    ],
)
def test_a_file_that_is_no_params_file(content, words, capsys):
    if content is not None:
        Path("params.yaml").write_text(content)
    assert main(["check"]) == 2
    error = capsys.readouterr().err
    assert words in error
    assert len(error.splitlines()) == 1


def test_a_files_comments_can_be_put_back(capsys):
    assert main(["params", "--preset", "smoke", "--out", "params.yaml"]) == 0
    whole = Path("params.yaml").read_text()
    kept = [line for line in whole.splitlines() if not line.strip().startswith("# ω_b")]
    Path("params.yaml").write_text("\n".join(kept))
    assert main(["params", "--from", "params.yaml", "--out", "params.yaml"]) == 0
    assert Path("params.yaml").read_text() == whole


def test_an_unknown_preset_names_the_nearest(capsys):
    assert main(["params", "--preset", "smok"]) == 2
    error = capsys.readouterr().err
    known = f"(known: {', '.join(presets())})"
    assert error == f"dpc: preset 'smok' does not exist; did you mean smoke? {known}\n"


@pytest.mark.parametrize("value", [0.2, 1e-6, 5e-4, 1, True, None, "a photo of a {}.", "null", []])
def test_scalars_read_back_in_both_versions_of_yaml(value):
    import yaml

    assert YAML(typ="safe").load(f"x: {scalar(value)}")["x"] == value
    assert yaml.safe_load(f"x: {scalar(value)}")["x"] == value
