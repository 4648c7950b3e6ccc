"""A CLIP that cannot take a backbone's prompts is refused with the file, before it is loaded."""

import copy
import subprocess
import sys
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import pytest

from dpc.clip import anatomy as anatomies
from dpc.clip.anatomy import anatomy
from dpc.clip.spec import ClipSpec
from dpc.errors import ParamsError
from dpc.params import clip_rules
from dpc.params.load import checked, preset


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@cache
def read():
    return preset("smoke")


def smoke(backbones, model="icons", pretrained="embedded"):
    values = copy.deepcopy(read())
    values["run"] |= {"backbones": backbones, "budget": []}
    values["clip"] |= {"model": model, "pretrained": pretrained}
    return values


def problems(values) -> list[str]:
    with pytest.raises(ParamsError) as caught:
        checked(values)
    found = [line.removeprefix("params.yaml: ") for line in caught.value.problems]
    assert not any("\n" in line for line in found)
    return found


@pytest.mark.parametrize(
    ("model", "reason"),
    [
        ("RN50", "convolutional"),
        ("convnext_base", "convolutional"),
        ("ViT-B-16-SigLIP", "attention pooling"),
        ("EVA02-B-16", "timm"),
        ("ViT-H-14-CLIPA", "mean of the patches"),
    ],
)
def test_backbones_that_prompt_images_need_a_tower_that_takes_them(model, reason):
    checked(smoke(["coop"], model, "random:1"))
    lines = problems(smoke(["coop", "maple", "promptkd"], model, "random:1"))
    assert len(lines) == 2
    for line, name in zip(lines, ("maple", "promptkd"), strict=True):
        assert line.startswith(f"run.backbones: {name!r} prompts the image tower")
        assert f"clip.model {model!r}" in line and reason in line
        assert "ViT-B-16" in line and "(coop)" in line


@pytest.mark.parametrize(
    ("model", "reason"),
    [("coca_ViT-B-32", "CoCa"), ("xlm-roberta-base-ViT-B-32", "xlm-roberta-base, a model")],
)
def test_a_text_tower_that_takes_no_prompts_serves_no_backbone(model, reason):
    (line,) = problems(smoke(["coop", "maple"], model, "random:1"))
    assert line.startswith(f"clip.model {model!r}: ") and reason in line


@pytest.mark.parametrize(
    ("name", "key", "tower"),
    [
        ("maple", "depth", "text"),
        ("promptsrc", "text_depth", "text"),
        ("promptsrc", "image_depth", "image"),
        ("promptkd", "depth", "image"),
    ],
)
def test_prompts_deeper_than_a_tower(name, key, tower):
    """Each depth is refused with its own tower, also as an exception."""
    values = smoke([name])
    layers = getattr(anatomy(ClipSpec()), tower).layers
    values["backbones"][name][key] = layers
    checked(values)
    values["backbones"][name][key] = layers + 1
    words = f"is {layers + 1} and the {tower} tower of clip.model 'icons' has {layers} layers"
    assert any(line.startswith(f"backbones.{name}.{key} {words}") for line in problems(values))
    values["backbones"][name][key] = layers
    settings = {"backbone": name, "shots": [1], "settings": {key: layers + 1}}
    (line,) = problems(values | {"exceptions": {"deep": settings}})
    assert line.startswith(f"exceptions.deep.settings.{key} {words}")


def test_the_least_of_two_towers_counts(monkeypatch):
    shape = anatomies.Anatomy(anatomies.Tower(6), anatomies.Tower(3), 77)
    monkeypatch.setattr(clip_rules, "anatomy", lambda spec: shape)
    values = smoke(["maple"])
    values["backbones"]["maple"]["depth"] = 4
    (line,) = problems(values)
    assert "the image tower" in line and "at most 3" in line


def test_the_teachers_clip_is_looked_at_where_there_are_students():
    values = smoke(["promptkd"])
    values["teacher"] |= {"model": "RN50", "pretrained": "random:1"}
    (line,) = problems(values)
    assert line.startswith("teacher.backbone: 'promptsrc' prompts the image tower")
    assert "teacher.model 'RN50'" in line
    values["run"]["backbones"] = ["coop"]
    checked(values)
    values = smoke(["promptkd"])
    values["teacher"]["settings"] = {"text_depth": 20}
    (line,) = problems(values)
    assert line.startswith("teacher.settings.text_depth is 20 and the text tower of teacher.model")
    values["teacher"] |= {"settings": {}, "model": "RN05", "pretrained": "clip.safetensors"}
    (line,) = problems(values)
    assert line.startswith("teacher.model is 'RN05'")


@pytest.mark.parametrize(
    ("where", "reached"),
    [
        ({}, True),
        ({"shots": [4]}, True),
        ({"shots": [1, 2]}, False),
        ({"datasets": ["icons-remix"]}, False),
        ({"settings": {"image_depth": 1}}, False),
    ],
)
def test_exceptions_count_where_they_reach_the_teacher(where, reached):
    """One whose key teacher.settings has, or that is for other cells, does not."""
    values = smoke(["promptkd"])
    values["run"] |= {"datasets": ["icons-tabler"], "shots": [4]}
    values["teacher"]["settings"] = {"text_depth": 1}
    settings = {"text_depth": 90, "image_depth": 90}
    exception = {"backbone": "promptsrc", "settings": settings} | where
    values["exceptions"] = {"deep": exception}
    if not reached:
        assert checked(values).at("icons-tabler", 4).teacher_block()["image_depth"] < 90
        return
    assert checked_depth(values) == 90
    (line,) = problems(values)
    words = "is 90 and the image tower of teacher.model"
    assert line.startswith(f"exceptions.deep.settings.image_depth {words}")


def checked_depth(values) -> int:
    """The depth that the teacher is built with, if nobody looks."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("dpc.params.contradictions.teacher_problems", lambda params: [])
        return checked(values).at("icons-tabler", 4).teacher_block()["image_depth"]


@pytest.mark.skipif(find_spec("transformers") is not None, reason="transformers is installed")
def test_a_tokenizer_of_hugging_face_needs_its_package():
    (line,) = problems(smoke(["coop"], "ViT-B-16-SigLIP", "webli"))
    assert "'timm/ViT-B-16-SigLIP'" in line and "pip install transformers sentencepiece" in line


COMMAND = """
import sys
from dpc.cli import main
code = main(sys.argv[1:])
print(code, sorted({"torch", "open_clip", "timm"} & set(sys.modules)))
"""


@pytest.mark.slow
def test_commands_refuse_at_once():
    from ruamel.yaml import YAML

    with Path("params.yaml").open("w") as file:
        YAML().dump(smoke(["maple"], "RN50", "random:1"), file)
    tune = ["tune", "--dataset", "icons-tabler", "--backbone", "maple", "--seeds", "1"]

    def run(command):
        return subprocess.run(
            [sys.executable, "-c", COMMAND, *command], capture_output=True, text=True, check=True
        )

    run(["check"])  # from now on it is remembered what the backbone says of itself
    for command in (["check"], tune):
        done = run(command)
        assert done.stdout == "2 []\n"
        (line,) = done.stderr.splitlines()
        assert line.startswith("dpc: params.yaml: run.backbones: 'maple' prompts the image tower")
