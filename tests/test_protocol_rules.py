"""What each protocol asks of the grid, and exceptions by dataset and shots."""

from dataclasses import replace

import pytest
from composed import preset
from hypothesis import given
from hypothesis import strategies as st

from dpc.errors import ParamsError
from dpc.params.load import checked
from dpc.stages.cells import Draw, draws

FEW_SHOT = ("protocol=few-shot", "run.shots=[1,2]")
TRANSFER = ("protocol=cross-dataset", "run.targets=[icons-fluent]")


def params(*overrides: str):
    return checked(preset("smoke", list(overrides)))


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["run.targets=[icons-fluent]"], "run.targets: protocol base-to-new tests the datasets"),
        (["run.shots=[1,2]"], "run.shots: protocol base-to-new takes one number"),
        (["run.shots=[]"], "run.shots is empty"),
        (["protocol=few-shot", "run.ablations=[coop]"], "run.ablations: protocol few-shot"),
        ([*FEW_SHOT, "run.backbones=[coop,promptkd]"], "the teacher of 'promptkd' is tuned on one"),
        (["protocol=cross-dataset"], "run.targets is empty; protocol cross-dataset tests"),
        ([*TRANSFER, "run.backbones=[promptkd]", "run.budget=[]"], "'promptkd' learns its teacher"),
        (
            [*TRANSFER, "run.datasets=[icons-bootstrap,icons-remix]"],
            "run.datasets: protocol cross-dataset tunes on one source and 2 are named",
        ),
        ([*TRANSFER[:1], "run.targets=[icons-bootstrap]"], "'icons-bootstrap' is in run.datasets"),
        (["run.datasets=[imagenet_a]"], "'imagenet_a' has test images only"),
        (["run.datasets=[caltech]"], "did you mean caltech101?"),
        (["+data.places.imagnet=x"], "data.places.imagnet: no published dataset; did you mean"),
        (["+data.on_disk.dtd={images: x}"], "data.on_disk.dtd: a published dataset has this name"),
        (["protocol=fewshot"], "did you mean few-shot?"),
        (
            ["+exceptions.a={backbone: cop, settings: {epochs: 5}}"],
            "exceptions.a.backbone: 'cop' has no block under backbones; did you mean coop?",
        ),
        (
            ["+exceptions.a={backbone: coop, settings: {epoch: 5}}"],
            "exceptions.a.settings.epoch is not a parameter; did you mean",
        ),
        (
            ["+exceptions.a={backbone: coop, settings: {epochs: 0}}"],
            "exceptions.a.settings.epochs is 0",
        ),
        (
            ["+exceptions.a={backbone: coop, datasets: [dtt], settings: {epochs: 5}}"],
            "exceptions.a.datasets: dataset 'dtt' does not exist; did you mean dtd?",
        ),
        (
            ["+exceptions.a={backbone: zero_shot, settings: {ensemble: icons}}"],
            "exceptions.a.backbone: zero_shot",
        ),
        (["+exceptions.a={settings: {}}"], "exceptions.a.backbone is missing"),
    ],
)
def test_a_grid_that_its_protocol_cannot_run_is_refused(overrides, words):
    with pytest.raises(ParamsError) as caught:
        params(*overrides)
    assert words in str(caught.value)


def test_exceptions_hold_for_their_datasets_and_shots_and_the_later_wins():
    found = params(
        *FEW_SHOT,
        "+exceptions.short={backbone: coop, shots: [1], settings: {epochs: 5, lr: 1}}",
        "+exceptions.fluent={backbone: coop, datasets: [icons-fluent], settings: {epochs: 7}}",
    )
    plain = found.backbones["coop"]

    def block(dataset: str, shots: int):
        return found.at(dataset, shots).backbones["coop"]

    assert block("icons-bootstrap", 2) == plain
    assert block("icons-bootstrap", 1) == plain | {"epochs": 5, "lr": 1.0}
    assert block("icons-fluent", 1) == plain | {"epochs": 7, "lr": 1.0}
    assert block("icons-fluent", 2) == plain | {"epochs": 7}
    assert isinstance(block("icons-fluent", 1)["lr"], float)
    assert found.backbones["coop"] == plain  # the grid's own block is as it was


def test_targets_are_tested_with_the_source():
    found = params(*TRANSFER, "run.budget=[]")
    assert found.tested == ["icons-bootstrap", "icons-fluent"]
    assert [found.source_of(name) for name in found.tested] == ["icons-bootstrap"] * 2


PLAIN = params("protocol=few-shot")
SOME = st.lists(st.integers(0, 99), min_size=1, max_size=4, unique=True)


@given(SOME, SOME)
def test_every_draw_has_a_file_name_of_its_own(shots, seeds):
    found = draws(replace(PLAIN, run=replace(PLAIN.run, shots=shots, seeds=seeds)))
    assert len({draw.name for draw in found}) == len(found) == len(shots) * len(seeds)
    assert found[0] == Draw(shots[0], seeds[0])
