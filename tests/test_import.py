"""Checkpoints of the released code: read without running them, named as ours, to the digit."""

import builtins
import os
import re
import sys
import types
from pathlib import Path

import dassl_files
import golden_data
import pytest
import torch
from torch import nn

from dpc.backbones.base import Task, Teacher, make_task
from dpc.backbones.coop import CoOp
from dpc.backbones.maple import MaPLe
from dpc.backbones.promptkd import PromptKD, make_projector
from dpc.backbones.promptsrc import PromptSRC
from dpc.clip.model import logits
from dpc.clip.views import Views
from dpc.collaboration.weighting import mix
from dpc.errors import DpcError
from dpc.exchange.checkpoint import read_checkpoint
from dpc.exchange.importing import (
    artifact_of,
    checkpoint_file,
    fit,
    read_foreign,
    unmixed,
)
from dpc.exchange.layouts import LAYOUTS, Names, layout_of, layouts, plain_names, sort_names

WORDS = "a photo of a"
NAMES = ("cat", "annual_crop_land", "2012 Audi TT RS Coupe")
CELL = {"backbone": "coop", "dataset": "d", "shots": 16, "seed": 1, "stage": "tuned"}


def drawn(*shape: int, seed: int = 0) -> torch.Tensor:
    return 0.1 * torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def made(name: str, seed: int = 0):
    """A backbone with random prompts for the golden student (text 64, image 128 wide)."""
    text = [drawn(4, 64, seed=seed + layer) for layer in range(3)]
    image = [drawn(4, 128, seed=seed + 10 + layer) for layer in range(3)]
    if name == "coop":
        return CoOp(text[0], WORDS)
    if name == "maple":
        generator = torch.Generator().manual_seed(seed)
        couplings = [nn.Linear(64, 128) for _ in range(3)]
        for coupling in couplings:
            nn.init.normal_(coupling.weight, std=0.1, generator=generator)
        return MaPLe(text[0][:2], [prompt[:2] for prompt in text[1:]], couplings, WORDS)
    if name == "promptsrc":
        return PromptSRC(text, image, WORDS)
    projector = make_projector(32, 48, torch.Generator().manual_seed(seed))
    projector(drawn(8, 32, seed=seed + 20))  # running statistics that are no defaults
    return PromptKD(image, projector)


def task_of(module, clip) -> Task:
    teacher = Teacher(drawn(len(NAMES), 48, seed=5), torch.tensor(30.0))
    return make_task(clip, module, NAMES, "a photo of a {}.", teacher)


def features(module, clip) -> tuple[torch.Tensor, torch.Tensor]:
    images = drawn(2, 3, 32, 32, seed=3)
    with torch.no_grad():
        views = Views(frozen=clip.encode_image(images, ()), images=images)
        task = task_of(module, clip)
        return module.eval().text_features(task), module.image_features(clip, views)


def official(name: str, seed: int = 0) -> dict[str, torch.Tensor]:
    return dassl_files.OFFICIAL[name](made(name, seed).state_dict())


def refusal(path: Path, **asked) -> str:
    with pytest.raises(DpcError) as caught:
        read_foreign(path, LAYOUTS, **asked)
    assert "\n" not in str(caught.value)
    assert str(path) in str(caught.value)
    return str(caught.value)


class Call:
    """Pickled as a call of a function; unpickled by Python it would be made."""

    def __init__(self, function, *given):
        self.function, self.given = function, given

    def __reduce__(self):
        return self.function, self.given


@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "legacy"])
@pytest.mark.parametrize("place", ["state_dict", "scheduler", "epoch"])
def test_nothing_that_a_file_pickles_is_run(tmp_path, monkeypatch, legacy, place):
    ran = tmp_path / "ran"
    with monkeypatch.context() as patch:
        content = dassl_files.trained(official("coop"), patch)
        call = Call(os.system, f"touch {ran}")
        content[place] = {"successor": [call]} if place == "scheduler" else call
        path = tmp_path / "model.pth.tar-1"
        torch.save(content, path, _use_new_zipfile_serialization=not legacy)
    assert f"asks for {os.system.__module__}.system" in refusal(path)
    assert not ran.exists()
    torch.load(path, weights_only=False)  # the file is a live one
    assert ran.exists()


@pytest.mark.parametrize("function", [eval, exec, getattr, builtins.__import__, torch.load])
def test_a_name_that_no_checkpoint_needs_refuses_it(tmp_path, function):
    path = tmp_path / "model.pth.tar-1"
    torch.save({"state_dict": official("coop"), "extra": Call(function, "1")}, path)
    assert f".{function.__name__} when it is read" in refusal(path)


def test_what_looks_like_a_scheduler_is_not_called_either(tmp_path, monkeypatch):
    """A name that checkpoints do need leads to an empty shell, whatever Python knows by it."""
    module, called = types.ModuleType("dassl.optim.warmup"), []
    module.start = lambda *given: called.append(given)
    module.start.__module__, module.start.__qualname__ = module.__name__, "start"
    for name in ("dassl", "dassl.optim", module.__name__):
        monkeypatch.setitem(sys.modules, name, types.ModuleType(name))
    monkeypatch.setitem(sys.modules, module.__name__, module)
    path = tmp_path / "model.pth.tar-1"
    torch.save({"state_dict": official("coop"), "scheduler": Call(module.start, 1)}, path)
    assert read_foreign(path, LAYOUTS).backbone == "coop"
    assert called == []
    torch.load(path, weights_only=False)
    assert called == [(1,)]


def test_names_put_together_while_reading_refuse_it(tmp_path):
    path, ran = tmp_path / "model.pth.tar-1", tmp_path / "ran"
    content = {"state_dict": official("coop"), "extra": Call(os.system, f"touch {ran}")}
    torch.save(content, path, pickle_protocol=4)
    assert "was written with pickle protocol 4; save it again with protocol 2" in refusal(path)
    assert not ran.exists()


@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "legacy"])
def test_schedulers_and_numbers_of_numpy_are_left_behind(tmp_path, monkeypatch, legacy):
    path = dassl_files.save(tmp_path / "m", official("coop"), monkeypatch, legacy=legacy)
    found = read_checkpoint(path)
    assert found.epoch == 10
    assert {name: value.shape for name, value in found.state.items()} == {
        name: value.shape for name, value in official("coop").items()
    }


@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "legacy"])
def test_a_file_that_was_cut_off_is_one_line(tmp_path, monkeypatch, legacy):
    whole = dassl_files.save(tmp_path / "m", official("maple"), monkeypatch, legacy=legacy)
    content, path = whole.read_bytes(), tmp_path / "cut"
    for share in (0.0, 0.001, 0.1, 0.5, 0.9, 0.999):
        path.write_bytes(content[: int(share * len(content))])
        words = "is empty" if share == 0 else "cut off, damaged"
        assert words in refusal(path)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ({"model": {}, "epoch": 3}, "no state_dict (found: model, epoch)"),
        ({"state_dict": {}}, "no state_dict (found: state_dict)"),
        ([torch.zeros(1)], "no state_dict (found: list)"),
    ],
)
def test_a_file_without_a_state_dict_is_one_line(tmp_path, content, words):
    path = tmp_path / "model.pth"
    torch.save(content, path)
    assert words in refusal(path)


def test_no_file_and_another_kind_of_file_are_one_line(tmp_path):
    assert "is missing" in refusal(tmp_path / "nothing")
    path = tmp_path / "split.json"
    path.write_text('{"train": []}')
    assert "no checkpoint of torch.save" in refusal(path)


@pytest.mark.parametrize(("half", "prefix"), [(False, ""), (True, "module.")])
@pytest.mark.parametrize("name", LAYOUTS)
def test_prompts_of_every_layout_arrive_to_the_digit(
    tmp_path, monkeypatch, student, name, half, prefix
):
    before = made(name)
    state = before.state_dict()
    path = dassl_files.save(
        tmp_path / "model.pth.tar-10", dassl_files.OFFICIAL[name](state), monkeypatch, half, prefix
    )
    if half:
        state = {k: v.half().float() if v.is_floating_point() else v for k, v in state.items()}
        before.load_state_dict(state)
    found = read_foreign(path, LAYOUTS)
    assert (found.backbone, found.checkpoint.epoch) == (name, 10)
    assert found.tensors.keys() == state.keys()
    for key, value in state.items():
        assert found.tensors[key].dtype == value.dtype
        assert torch.equal(found.tensors[key], value), key
    after = made(name, seed=100)
    after.load_state_dict(found.tensors)
    for one, other in zip(features(before, student), features(after, student), strict=True):
        assert torch.equal(one, other)
    assert not torch.equal(
        *(sum(f.sum() for f in features(m, student)) for m in (before, made(name, seed=100)))
    )


@pytest.mark.parametrize(
    ("name", "prefix", "logits_of"),
    [
        ("coop", "words.step3.", "words.step3.logits"),
        ("maple", "main.step3.", "main.step3.logits"),
        ("promptsrc", "main.step3.", "main.step3.logits"),
        ("promptkd", "main.step3.", "main.step3.eval.logits"),
    ],
)
def test_official_prompts_under_their_official_names_give_the_official_logits(
    tmp_path, student, name, prefix, logits_of
):
    """Names and numbers are those of the golden files, which the released code made."""
    golden = golden_data.tensors(name)
    learned = {
        key.removeprefix(prefix): value
        for key, value in golden.items()
        if key.startswith(prefix) and not re.search("logits|features", key)
    }
    path = tmp_path / "model.pth.tar-3"
    torch.save({"state_dict": learned, "epoch": 3}, path)
    found = read_foreign(path, LAYOUTS)
    assert (found.backbone, len(found.tensors)) == (name, len(learned))
    module = made(name)
    module.load_state_dict(found.tensors)
    classes = golden_data.facts(name)["classes"]
    texts = golden.get("teacher.text_features", torch.zeros(1, 48))
    teacher = Teacher(texts, student.logit_scale)
    task = make_task(student, module.eval(), classes, "a photo of a {}.", teacher)
    images = golden["images"]
    with torch.no_grad():
        views = Views(frozen=student.encode_image(images, ()), images=images)
        pair = module.image_features(student, views), module.text_features(task)
        got = logits(student.logit_scale, *pair)
    bound = 1e-4 if name == "promptkd" else golden_data.BACKWARD
    golden_data.assert_close(f"imported {name} logits", got, golden[logits_of], bound)


def test_every_name_of_released_dpc_on_promptkd_is_known():
    golden = golden_data.tensors("dpc_promptkd_released")
    state = {k.removeprefix("init."): v for k, v in golden.items() if k.startswith("init.")}
    name, names = layout_of(LAYOUTS, plain_names(state), "FILE", None)
    found = sort_names(names, plain_names(state))
    assert (name, found.unknown) == ("promptkd", [])
    ours = {"text.0": "prompt_learner.ctx", "image.0": "image_encoder.VPT"}
    assert ours.items() <= found.learned.items()
    assert len(found.learned) == len(state)


def test_the_name_inside_the_model_and_the_prompt_learner_alone_are_one(tmp_path, monkeypatch):
    alone = official("coop")
    for prefix in ("prompt_learner.", "module.prompt_learner.", "prompt_learner.module."):
        path = dassl_files.save(tmp_path / prefix, alone, monkeypatch, prefix=prefix)
        assert torch.equal(read_foreign(path, LAYOUTS).tensors["context"], alone["ctx"])


def test_parameters_are_taken_as_the_tensors_that_they_are(tmp_path):
    path, context = tmp_path / "model.pth", drawn(4, 64)
    torch.save({"state_dict": nn.ParameterDict({"ctx": context}).state_dict(keep_vars=True)}, path)
    assert read_checkpoint(path).state["ctx"].requires_grad
    found = artifact_of(read_foreign(path, LAYOUTS), CELL, None, None)
    assert torch.equal(torch.from_numpy(found.tensors["context"]), context)


def test_the_artefact_says_where_the_prompts_come_from(tmp_path, monkeypatch):
    path = dassl_files.save(tmp_path / "m", official("promptkd"), monkeypatch, half=True)
    made_of = artifact_of(read_foreign(path, LAYOUTS), CELL, None, None)
    assert made_of.results["epoch"] == 10
    assert made_of.results["source"] == read_checkpoint(path).sha256
    assert made_of.results["tensors"]["projector.0.weight"] == {
        "name": "VPT_image_trans.conv1.0.weight",
        "dtype": "float16",
        "shape": [48, 32, 1, 1],
    }
    assert made_of.tensors["projector.0.weight"].shape == (48, 32)
    assert not any(str(tmp_path) in str(value) for value in made_of.results.values())


@pytest.mark.parametrize(
    ("state", "words"),
    [
        ({"ctx": torch.zeros(3, 4, 8)}, "prompt_learner.ctx is (3, 4, 8), a context of its own"),
        ({"ctx": torch.zeros(4, 8), "meta_net.linear1.weight": torch.zeros(2, 2)}, "meta_net"),
        ({"visual.conv1.weight": torch.zeros(2, 2)}, "visual.conv1.weight"),
        ({"image_encoder.conv1.weight": torch.zeros(2, 2)}, "no prompts"),
        ({"image_encoder.VPT": torch.zeros(4, 8)}, "image_encoder.VPT"),
        ({"ctx": torch.full((4, 8), torch.nan)}, "not finite"),
    ],
)
def test_what_is_no_known_layout_is_one_line(tmp_path, state, words):
    path = tmp_path / "model.pth.tar-1"
    torch.save({"state_dict": state}, path)
    assert words in refusal(path)


def test_a_backbone_that_is_named_must_fit_and_have_a_layout(tmp_path, monkeypatch):
    path = dassl_files.save(tmp_path / "m", official("maple"), monkeypatch)
    said = refusal(path, backbone="promptsrc")
    assert "holds prompt_learner.proj.weight" in said and "image_encoder.VPT" in said
    with pytest.raises(DpcError, match="no checkpoint layout of backbone 'zero_shot'"):
        read_foreign(path, LAYOUTS, "zero_shot")
    assert read_foreign(path, LAYOUTS, "maple").backbone == "maple"


def test_two_layouts_that_fit_are_told_apart_by_name_alone(tmp_path, monkeypatch):
    path = dassl_files.save(tmp_path / "m", official("coop"), monkeypatch)
    own = Names(((r"prompt_learner\.ctx", "words"),), frozenset({"words"}), lambda found: {})
    known = {**LAYOUTS, "mine": own}
    with pytest.raises(DpcError, match="coop or mine; say which with --backbone"):
        read_foreign(path, known)
    assert read_foreign(path, known, "mine").tensors.keys() == {"words"}


def test_of_a_folder_it_is_the_last_epoch_by_its_number(tmp_path):
    folder = tmp_path / "seed1" / "prompt_learner"
    folder.mkdir(parents=True)
    for name in ("model.pth.tar-2", "model.pth.tar-10", "model-best.pth.tar", "checkpoint"):
        (folder / name).touch()
    assert checkpoint_file(folder) == folder / "model.pth.tar-10"
    assert checkpoint_file(tmp_path / "seed1") == folder / "model.pth.tar-10"
    assert checkpoint_file(folder / "model-best.pth.tar").name == "model-best.pth.tar"
    other = tmp_path / "seed1" / "other"
    other.mkdir()
    (other / "model.pth.tar-3").touch()
    with pytest.raises(DpcError, match="name one of them"):
        checkpoint_file(tmp_path / "seed1")
    for name in ("model.pth.tar-2", "model.pth.tar-10"):
        (folder / name).unlink()
    with pytest.raises(DpcError, match="was chosen on test images"):
        checkpoint_file(folder)


@pytest.mark.parametrize("weight", [0.2, 0.5, 1.0])
def test_a_stored_mix_is_taken_apart(tmp_path, monkeypatch, weight):
    """S is the released mix; P' comes back, and mixing it again gives S."""
    tuned, parallel = made("coop", 1).state_dict(), made("coop", 2).state_dict()
    mixed = mix(tuned, parallel, weight)
    paths = [
        dassl_files.save(tmp_path / name, dassl_files.coop(state), monkeypatch)
        for name, state in (("S", mixed), ("P", tuned))
    ]
    stored, of_tuned = (read_foreign(path, LAYOUTS) for path in paths)
    found = unmixed(stored, of_tuned, weight)
    torch.testing.assert_close(found["context"], parallel["context"], rtol=0, atol=2e-7)
    torch.testing.assert_close(mix(tuned, found, weight)["context"], mixed["context"])
    assert torch.equal(stored.tensors["context"], mixed["context"])  # by default: as it is


def test_released_dpc_on_promptkd_mixes_the_text_input_alone(tmp_path, monkeypatch):
    """Its P is the teacher's text prompt; all else of the file is P' as it stands."""
    student = made("promptkd")
    text = [drawn(4, 128, seed=30 + layer) for layer in range(3)]
    dual = PromptKD(list(student.image), student.projector, text).state_dict()
    teacher = PromptSRC([drawn(4, 128, seed=40)], [drawn(4, 64, seed=41)]).state_dict()
    mixed = dual | {"text.0": torch.lerp(teacher["text.0"], dual["text.0"], 0.2)}
    stored = dassl_files.save(tmp_path / "S", dassl_files.promptkd(mixed), monkeypatch)
    tuned = dassl_files.save(tmp_path / "P", dassl_files.promptsrc(teacher), monkeypatch)
    found, of_teacher = (read_foreign(path, LAYOUTS) for path in (stored, tuned))
    assert (found.backbone, of_teacher.backbone) == ("promptkd", "promptsrc")
    recovered = unmixed(found, of_teacher, 0.2)
    assert recovered.keys() == dual.keys()
    torch.testing.assert_close(recovered["text.0"], dual["text.0"], rtol=0, atol=2e-7)
    for name in recovered.keys() - {"text.0"}:
        assert torch.equal(recovered[name], dual[name]), name


def test_a_mix_that_cannot_be_taken_apart_is_one_line(tmp_path, monkeypatch):
    def foreign(name, state):
        path = dassl_files.save(tmp_path / name, state, monkeypatch)
        return read_foreign(path, LAYOUTS)

    coop, short = foreign("S", official("coop")), official("coop")
    short["ctx"] = short["ctx"][:2]
    with pytest.raises(DpcError, match=r"P: context is \(2, 64\), \(4, 64\) is expected"):
        unmixed(coop, foreign("P", short), 0.2)
    with pytest.raises(DpcError, match="no released code stores a mix of maple"):
        unmixed(foreign("M", official("maple")), coop, 0.2)
    with pytest.raises(DpcError, match="holds no text"):
        unmixed(foreign("K", official("promptkd")), coop, 0.2)


BLOCKS = {
    "coop": {"init": WORDS, "length": 4},
    "maple": {"init": WORDS, "length": 2, "depth": 3},
    "promptsrc": {"length": 4, "text_depth": 3, "image_depth": 3},
    "promptkd": {"length": 4, "depth": 3, "dual": "image"},
}


def unfitting(name: str, state: dict, expected: dict) -> str:
    with pytest.raises(DpcError) as caught:
        fit(state, expected, LAYOUTS[name], BLOCKS[name], "FILE", f"backbones.{name}")
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("name", LAYOUTS)
def test_prompts_of_the_right_size_fit(name):
    state = made(name).state_dict()
    fit(state, state, LAYOUTS[name], BLOCKS[name], "FILE", f"backbones.{name}")


def test_prompts_of_another_size_name_the_parameter_to_set():
    state = {name: made(name).state_dict() for name in LAYOUTS}
    assert unfitting("coop", {"context": drawn(16, 64)}, state["coop"]) == (
        "FILE: context is (16, 64), (4, 64) is expected; "
        "set backbones.coop.init=null backbones.coop.length=16"
    )
    shallow = {k: v for k, v in state["maple"].items() if not k.endswith(".1") and ".2." not in k}
    assert unfitting("maple", shallow, state["maple"]) == (
        "FILE: couplings.2.bias (128,) is missing; set backbones.maple.depth=2"
    )
    deeper = state["promptsrc"] | {"image.3": drawn(4, 128)}
    assert unfitting("promptsrc", deeper, state["promptsrc"]) == (
        "FILE: image.3 (4, 128) is one too many; set backbones.promptsrc.image_depth=4"
    )
    dual = state["promptkd"] | {"text.0": drawn(4, 128)}
    assert "set backbones.promptkd.dual=text" in unfitting("promptkd", dual, state["promptkd"])
    wide = {"context": drawn(4, 80)}
    assert "it is of another clip.model" in unfitting("coop", wide, state["coop"])


def test_a_backbone_from_outside_brings_its_names(tmp_path, monkeypatch):
    (tmp_path / "own_coop.py").write_text(
        "from dpc.backbones.coop import CoOp\n"
        "from dpc.exchange.layouts import LAYOUTS\n"
        "ELSEWHERE = LAYOUTS['coop']\n"
        "class Mine(CoOp):\n    pass\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    known = layouts({"coop": {}, "mine": {"class": "own_coop:Mine"}, "zero_shot": {}})
    assert known.keys() == {*LAYOUTS, "mine"}
    path = dassl_files.save(tmp_path / "m", official("coop"), monkeypatch)
    found = read_foreign(path, known, "mine")
    assert (found.backbone, list(found.tensors)) == ("mine", ["context"])
