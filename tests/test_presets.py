"""The paper's presets against the recipes that were published, written down here once more."""

import pytest
from composed import preset
from doc_blocks import run_by, words_of

from dpc.cli import main
from dpc.params.load import checked, load, preset_heading, presets
from dpc.report.paper_reasons import left_out, reasons
from dpc.stages.cells import draws_of, methods

ELEVEN = [
    *("imagenet", "caltech101", "oxford_pets", "stanford_cars", "oxford_flowers", "food101"),
    *("fgvc_aircraft", "sun397", "dtd", "eurosat", "ucf101"),
]
VARIANTS = ["imagenetv2", "imagenet_sketch", "imagenet_a", "imagenet_r"]
PAPER = [
    "paper-base-to-new",
    "paper-cross-dataset",
    "paper-domain-generalization",
    "paper-few-shot",
]
# (lr, epochs, batch) of the released configurations.
BASE_TO_NEW = {
    "coop": (0.0035, 10, 4),
    "maple": (0.0035, 5, 4),
    "promptsrc": (0.0025, 20, 4),
    "promptkd": (0.005, 20, 8),
}
CROSS = {"coop": (0.002, 50, 32), "maple": (0.0026, 2, 4), "promptsrc": (0.0025, 20, 4)}


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # no folder of images, no weights: a preset is fine all the same


def params_of(name):
    return checked(preset(name))


def recipe(block):
    return block["lr"], block["epochs"], block["batch"]


def rows(params):
    each = sum(len(draws_of(method, params)) for method in methods(params))
    return each * len(params.tested)


def test_they_exist():
    assert set(PAPER) <= set(presets())


@pytest.mark.parametrize(
    ("name", "count"),
    [
        ("paper-base-to-new", 11 * (10 * 3 + 1)),  # eleven rows; zero-shot CLIP has no seeds
        ("paper-cross-dataset", 11 * (6 * 3 + 1)),
        ("paper-domain-generalization", 5 * (6 * 3 + 1)),
        ("paper-few-shot", 11 * (6 * 3 * 5 + 1)),
    ],
)
def test_the_grid_is_as_large_as_it_says(name, count):
    params = params_of(name)
    assert rows(params) == count
    assert params.run.seeds == [1, 2, 3]
    assert params.run.budget == [] and params.run.ablations == []


@pytest.mark.parametrize("name", PAPER)
def test_what_all_of_them_share(name):
    params = params_of(name)
    clip, views, two = params.clip, params.data.views, params.dpc
    assert (clip.model, clip.pretrained) == ("ViT-B-16-quickgelu", "openai")
    assert (clip.precision, clip.device) == ("fp32", "auto")
    assert (views.count, views.scale_min, views.ratio_max, views.flip) == (20, 0.08, 4 / 3, 0.5)
    assert params.data.val_shots == 4
    optimizer = params.optimizer
    assert (optimizer.momentum, optimizer.weight_decay) == (0.9, 5e-4)
    assert optimizer.warmup_lr == 1e-5
    assert (two.lr, two.epochs, two.batch, two.negatives.k) == (0.002, 20, 4, 8)
    assert (two.weight, two.weight_new) == (0.2, 0.0)
    assert (two.inference, two.parametrization) == ("mixed", "parallel")
    assert two.objective == "contrastive" and two.by_backbone == {}
    assert params.backbones["zero_shot"]["ensemble"] == "none"
    heading = preset_heading(name)
    assert "not measured here" in heading
    longest = max(params.block(backbone)["epochs"] for backbone in params.run.backbones)
    assert ("20 stored views" in heading) == (longest > views.count)


def test_base_to_new():
    params = params_of("paper-base-to-new")
    assert params.protocol == "base-to-new" and params.run.shots == [16]
    assert params.run.datasets == ELEVEN and params.run.targets == []
    assert params.run.backbones == list(BASE_TO_NEW)
    for name, published in BASE_TO_NEW.items():
        assert recipe(params.backbones[name]) == published
    blocks = params.backbones
    assert blocks["coop"]["init"] == "a photo of a"
    assert (blocks["maple"]["length"], blocks["maple"]["depth"]) == (2, 9)
    source = blocks["promptsrc"]
    assert (source["length"], source["text_depth"], source["image_depth"]) == (4, 9, 9)
    assert (source["text_weight"], source["image_weight"]) == (25, 10)
    assert source["templates"] == "imagenet-60"
    assert source["average_mean"] * source["epochs"] == pytest.approx(15)
    assert source["average_std"] * source["epochs"] == pytest.approx(1)
    assert (blocks["promptkd"]["depth"], blocks["promptkd"]["temperature"]) == (9, 1)
    assert params.data.unlabelled == 0


def test_promptkd_is_held_to_its_teacher_less_on_three_sets():
    params = params_of("paper-base-to-new")
    lighter = {"fgvc_aircraft", "oxford_flowers", "dtd"}
    for name in ELEVEN:
        weight = params.at(name, 16).block("promptkd")["kd_weight"]
        assert weight == (200 if name in lighter else 1000)
        for other in ("coop", "maple", "promptsrc"):
            assert params.at(name, 16).block(other) == params.block(other)


def test_the_teacher():
    params = params_of("paper-base-to-new")
    teacher, block = params.teacher, params.teacher_block()
    assert (teacher.model, teacher.pretrained) == ("ViT-L-14-quickgelu", "openai")
    assert teacher.backbone == "promptsrc"
    assert recipe(block) == (0.005, 20, 8)
    assert (block["text_depth"], block["image_depth"]) == (9, 9)


def test_base_to_new_stands_beside_the_papers_table():
    assert reasons(preset("paper-base-to-new")) == []
    assert left_out(preset("paper-base-to-new")) == {}
    for name in ("icons", *PAPER[1:]):
        assert reasons(preset(name))


@pytest.mark.parametrize(
    ("name", "targets"),
    [("paper-cross-dataset", ELEVEN[1:]), ("paper-domain-generalization", VARIANTS)],
)
def test_transfers(name, targets):
    params = params_of(name)
    assert params.protocol == name.removeprefix("paper-")
    assert params.run.datasets == ["imagenet"] and params.run.targets == targets
    assert params.run.shots == [16] and params.run.backbones == list(CROSS)
    for backbone, published in CROSS.items():
        assert recipe(params.backbones[backbone]) == published
    blocks = params.backbones
    assert blocks["coop"]["init"] == "a photo of a"
    source = blocks["promptsrc"]
    assert (blocks["maple"]["depth"], source["text_depth"], source["image_depth"]) == (3, 3, 3)
    assert source["average_mean"] * source["epochs"] == pytest.approx(6)
    assert source["average_std"] * source["epochs"] == pytest.approx(10)


def test_both_transfers_share_their_trainings():
    from dpc.stages import slices

    one, two = (params_of(name).at("imagenet", 16) for name in PAPER[1:3])
    for backbone in CROSS:
        assert slices.tune(one, backbone) == slices.tune(two, backbone)
        assert slices.finetune(one, backbone) == slices.finetune(two, backbone)


def test_few_shot():
    params = params_of("paper-few-shot")
    assert params.protocol == "few-shot" and params.run.datasets == ELEVEN
    assert params.run.shots == [1, 2, 4, 8, 16] and params.run.backbones == ["coop", "promptsrc"]
    coop, source = params.backbones["coop"], params.backbones["promptsrc"]
    assert (coop["init"], coop["length"], coop["lr"], coop["batch"]) == (None, 16, 0.002, 32)
    assert recipe(source) == (0.0025, 50, 4)
    assert (source["text_depth"], source["image_depth"]) == (9, 9)


@pytest.mark.parametrize(("shots", "epochs"), [(1, 50), (2, 100), (4, 100), (8, 200), (16, 200)])
def test_few_shot_coop_trains_longer_on_more_shots(shots, epochs):
    params = params_of("paper-few-shot")
    for name in ELEVEN:
        found = params.at(name, shots).block("coop")["epochs"]
        assert found == (50 if name == "imagenet" else epochs)


def test_few_shot_promptsrc_averages_late_on_five_sets():
    params = params_of("paper-few-shot")
    late = {"stanford_cars", "oxford_flowers", "fgvc_aircraft", "dtd", "eurosat"}
    for name in ELEVEN:
        block = params.at(name, 4).block("promptsrc")
        epochs = block["average_mean"] * block["epochs"], block["average_std"] * block["epochs"]
        assert epochs == pytest.approx((45, 5) if name in late else (30, 30))


def test_generalized_is_the_benchmark_under_another_protocol():
    changed = preset("icons-generalized")
    assert changed.pop("protocol") == "generalized"
    plain = preset("icons")
    assert plain.pop("protocol") == "base-to-new"
    assert changed == plain


def test_the_small_grid_of_the_page_is_one():
    ((words,),) = (words_of(block) for block in run_by(__file__))
    assert words[:2] == ["dpc", "params"] and main(words[1:]) == 0
    assert load().protocol == "base-to-new"
    assert main(["check"]) == 0
