"""What the model card of an export says, and of whom."""

import pytest

from dpc.exchange.card import accuracies, card

ROW = {"base": 70.0, "new": 60.0, "omega_b": 0.2, "classes_base": 3, "classes_new": 2} | {
    "n_base": 30,
    "n_new": 20,
    "curves": {"omega_b": [{"weight": 0.5, "test": 65.0}]},
}
BASE, NEW = ("base classes", 70.0, 3, 30), ("new classes", 60.0, 2, 20)


@pytest.mark.parametrize(
    ("row", "classes", "weight", "expected"),
    [
        (ROW, "all", 0.2, [BASE, NEW]),
        (ROW, "new", 0.2, [NEW]),
        (ROW, "all", 0.5, [("base classes", 65.0, 3, 30), NEW]),
        (ROW, "base", 0.7, []),  # a weight that the curve does not have
        (
            ROW | {"overall": 66.0},
            "all",
            0.2,
            [("base classes", 70.0, 5, 30), ("new classes", 60.0, 5, 20), ("all", 66.0, 5, 50)],
        ),
        (ROW | {"overall": 66.0}, "all", 0.5, [("base classes", 65.0, 5, 30)]),
        (
            {"accuracy": 50.0, "n": 9, "classes": 4, "omega_b": 0.2, "curves": None},
            "all",
            0.2,
            [("all classes", 50.0, 4, 9)],
        ),
    ],
)
def test_accuracies_are_those_of_the_exported_classes_and_weight(row, classes, weight, expected):
    assert accuracies({"classes": classes, "omega_b": weight}, row) == expected


FACTS = {
    "dataset": "d",
    "source": "d",
    "protocol": "base-to-new",
    "label": "CoOp",
    "backbone": "coop",
    "method": "dpc",
    "classes": "base",
    "shots": 16,
    "seed": 1,
    "omega_b": 0.2,
    "omega_n": 0.0,
    "transductive": False,
    "imported": [],
    "image_prompts": False,
    "width": 8,
    "clip": {"model": "icons", "pretrained": "embedded", "sha256": "5", "precision": "fp32"},
    "classnames": ["a", "b"],
    "class_prompts": ["mixed.base"] * 2,
    "command": "dpc export",
    "params_sha256": "6",
    "draw": "7",
    "made_of": {"tuned": "8"},
}
OPENAI = {"model": "ViT-B-16", "pretrained": "openai", "sha256": None, "precision": "bf16"}


@pytest.mark.parametrize(
    ("facts", "words"),
    [
        ({"transductive": True}, "Transductive: training saw unlabelled images"),
        ({"imported": ["tuned"]}, "P came from a checkpoint of another program"),
        ({"clip": OPENAI}, "Tuned and tested in bf16; classifier.onnx computes in fp32"),
        ({"clip": OPENAI}, "license: other"),
        ({"clip": OPENAI}, "the licence of those weights"),
        ({"classes": "all"}, "Here all names compete"),
        ({"source": "e", "protocol": "cross-dataset"}, "training images of each class of e"),
        ({"shots": 0}, "on all training images"),
    ],
)
def test_the_card_says_what_holds_for_this_classifier_alone(facts, words):
    assert words in card(FACTS | facts, None, ["classes.npz"])
    assert words not in card(FACTS, None, ["classes.npz"])
