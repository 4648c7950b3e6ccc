"""Few-shot draws, the base/new cut, views, and datasets on disk with everything wrong with them."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from safetensors.numpy import load_file

from dpc.datasets import on_disk
from dpc.datasets.base import Item, check_classes, decode
from dpc.datasets.fewshot import draw, halves, subset
from dpc.datasets.views import Crop, InputFormat, draw_crop, test_view, train_view
from dpc.errors import DpcError
from dpc.params.data import View
from dpc.params.load import checked, preset

test_view.__test__ = False  # a transform, whatever its name says to a test runner
FACTS = Path(__file__).parent / "golden" / "facts"
CASES = json.loads((FACTS / "fewshot.json").read_text())["cases"]
IMAGENET = ((0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711))


def items_of(split) -> list[Item]:
    return [Item(path, label, "") for path, label, _ in split]


@pytest.mark.parametrize(
    ("case", "run"),
    [(case, run) for case in CASES for run in case["runs"]],
    ids=lambda value: value.get("name") or f"{value['seed']}-{value['shots']}-{value['subset']}",
)
def test_few_shot_sets_are_those_of_the_released_code(case, run):
    train, val, test = (items_of(case["split"][name]) for name in ("train", "val", "test"))
    drawn = draw(train, val, run["shots"], 4, run["seed"])
    cut = halves(drawn.train)
    labels = {"all": cut.base + cut.new, "base": cut.base, "new": cut.new}[run["subset"]]

    def pairs(items):
        return [[item.image, item.label] for item in subset(items, labels)]

    assert pairs(drawn.train) == run["train"]
    assert pairs(drawn.val) == run["val"]
    tested = pairs(test)
    assert len(tested) == run["n_test"]
    first, last = run["test_first"], run["test_last"]
    assert tested[: len(first)] == first
    assert tested[len(tested) - len(last) :] == last


@given(
    st.lists(st.integers(0, 8), min_size=1, max_size=60),
    st.integers(1, 6),
    st.integers(0, 2**31),
)
def test_a_draw_takes_each_class_evenly_and_never_twice(labels, shots, seed):
    items = [Item(f"{index}.png", label, "") for index, label in enumerate(labels)]
    drawn = draw(items, items, shots, 4, seed).train
    assert len(set(drawn)) == len(drawn)
    for label in set(labels):
        members = [item for item in items if item.label == label]
        assert sum(item.label == label for item in drawn) == min(shots, len(members))
    assert drawn == draw(items, items, shots, 4, seed).train


@given(
    st.lists(st.integers(0, 8), min_size=1, max_size=60),
    st.integers(0, 6),
    st.integers(0, 2**31),
)
def test_without_validation_images_shots_are_held_out_of_the_training_images(labels, shots, seed):
    items = [Item(f"{index}.png", label, "") for index, label in enumerate(labels)]
    drawn = draw(items, [], shots, 4, seed)
    assert drawn.train == draw(items, items, shots, 4, seed).train
    assert not set(drawn.train) & set(drawn.val)
    for label in set(labels):
        left = sum(item.label == label for item in items) - shots
        expected = min(4, shots, max(left, 0)) if shots else 0
        assert sum(item.label == label for item in drawn.val) == expected


@given(st.sets(st.integers(0, 300), min_size=1))
def test_base_is_the_first_half_rounded_up(labels):
    cut = halves([Item("", label, "") for label in labels])
    assert cut.base + cut.new == tuple(sorted(labels))
    assert 0 <= len(cut.base) - len(cut.new) <= 1


def golden_image(index: int) -> Image.Image:
    return Image.fromarray(TRANSFORMS[f"image{index}"])


TRANSFORMS = load_file(FACTS / "transforms.safetensors")


@pytest.mark.parametrize(("index", "size"), [(1, 224), (2, 32), (3, 32)])
def test_test_transform_against_the_released_one(index, size):
    ours = test_view(golden_image(index), InputFormat(size, *IMAGENET))
    assert np.abs(ours - TRANSFORMS[f"test{index}"]).max() < 1.01 / 255 / 0.26


@pytest.mark.parametrize("mode", ["shortest", "squash"])
@pytest.mark.parametrize("index", [1, 2, 3])
def test_test_transform_against_open_clips(index, mode):
    from open_clip.transform import image_transform

    theirs = image_transform(48, False, *IMAGENET, resize_mode=mode)(golden_image(index))
    ours = test_view(golden_image(index), InputFormat(48, *IMAGENET, resize_mode=mode))
    assert np.abs(ours - theirs.numpy()).max() < 1.01 / 255 / 0.26


@pytest.mark.parametrize("index", [2, 3])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_train_transform_against_the_released_one_given_its_random_box(index, seed):
    from torchvision.transforms import RandomResizedCrop

    image = golden_image(index)
    torch.manual_seed(seed)
    box = RandomResizedCrop.get_params(image, [0.08, 1.0], [3 / 4, 4 / 3])
    top, left, height, width = box
    flip = bool(torch.rand(1) < 0.5)
    ours = train_view(image, Crop(left, top, width, height, flip), InputFormat(32, *IMAGENET))
    assert np.abs(ours - TRANSFORMS[f"train{index}.seed{seed}"]).max() < 1.01 / 255 / 0.26


@settings(max_examples=200)
@given(
    st.tuples(st.integers(1, 500), st.integers(1, 500)),
    st.integers(0, 2**256 - 1),
    st.integers(0, 30),
    st.floats(0.05, 1.0),
)
def test_a_crop_lies_inside_its_image_and_depends_on_nothing_else(size, content, index, scale):
    params = View(scale_min=scale)
    crop = draw_crop(size, f"{content:064x}", index, params)
    assert crop == draw_crop(size, f"{content:064x}", index, params)
    assert 0 <= crop.left <= crop.left + crop.width <= size[0]
    assert 0 <= crop.top <= crop.top + crop.height <= size[1]
    assert min(crop.width, crop.height) > 0


def test_views_differ_by_index_image_and_seed():
    shape = (64, 64)
    crops = {draw_crop(shape, f"{1:064x}", index, View()) for index in range(20)}
    assert len(crops) == 20
    assert draw_crop(shape, f"{2:064x}", 0, View()) not in crops
    assert draw_crop(shape, f"{1:064x}", 0, View(seed=1)) not in crops


# Datasets on disk


@pytest.fixture()
def disk(tmp_path, monkeypatch):
    """A dataset of four classes in CoOp's layout; returns its split and the parameters."""
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "data" / "shapes" / "images"
    split = {"train": [], "val": [], "test": []}
    for label in range(4):
        for number in range(6):
            name = f"class{label}/{number}.png"
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shade = 40 * label + number
            Image.new("RGB", (20, 30), (shade, 255 - shade, 10 * number)).save(folder / name)
            place = "train" if number < 3 else "val" if number == 3 else "test"
            split[place].append([name, label, f"shape_{label}"])
    return split


def write(split) -> object:
    path = Path("data/shapes/split.json")
    path.write_text(json.dumps(split))
    block = "{split: shapes/split.json, images: shapes/images, template: 'a {}.'}"
    values = preset("smoke", [f"+data.on_disk.shapes={block}", "run.datasets=[shapes]"])
    return checked(values)


def test_a_split_file_is_read_as_it_stands(disk):
    raw = on_disk.read("shapes", write(disk))
    assert raw.classnames == tuple(f"shape_{label}" for label in range(4))
    assert [item.image for item in raw.splits["train"]] == [entry[0] for entry in disk["train"]]
    assert raw.template == "a {}."


def fails(params, words: str) -> None:
    with pytest.raises(DpcError, match=words) as caught:
        raw = on_disk.read("shapes", params)
        check_classes("shapes", raw.classnames, raw.splits)
    assert "\n" not in str(caught.value)


def test_a_missing_split_file_is_never_made_up(disk):
    params = write(disk)
    Path("data/shapes/split.json").unlink()
    fails(params, r"split\.json is missing")


def test_a_missing_image_is_named(disk):
    params = write(disk)
    Path("data/shapes/images/class1/0.png").unlink()
    fails(params, r"class1/0\.png is missing")


@pytest.mark.parametrize("keep", [0, 40])
def test_a_truncated_image_is_named(disk, keep):
    path = Path("data/shapes/images/class2/4.png")
    path.write_bytes(path.read_bytes()[:keep])
    fails(write(disk), r"class2/4\.png cannot be decoded")


def test_a_class_without_a_training_image_is_named(disk):
    disk["train"] = [entry for entry in disk["train"] if entry[1] != 3]
    fails(write(disk), "class 'shape_3' has no train image")


def test_a_class_without_a_test_image_is_named(disk):
    disk["test"] = [entry for entry in disk["test"] if entry[1] != 0]
    fails(write(disk), "class 'shape_0' has no test image")


@pytest.mark.parametrize("name", ["../../secret.png", "/etc/passwd", "class0/../../x.png"])
def test_a_path_may_not_leave_its_folder(disk, name):
    disk["train"][0][0] = name
    fails(write(disk), "leaves the image folder")


def test_two_names_for_one_label_are_refused(disk):
    disk["val"][0][2] = "other"
    fails(write(disk), "label 0 is called 'shape_0' and 'other'")


def test_a_malformed_entry_is_shown(disk):
    disk["val"][1] = ["a.png", "0"]
    fails(write(disk), r"val\[1\]")


def test_text_that_is_not_json_is_refused(disk):
    params = write(disk)
    Path("data/shapes/split.json").write_text("{")
    fails(params, "not JSON")


def encoded(image: Image.Image, form: str, **options) -> bytes:
    import io

    file = io.BytesIO()
    image.save(file, form, **options)
    return file.getvalue()


def test_images_are_decoded_by_content_and_become_rgb():
    grey = Image.new("L", (8, 8), 128)
    for content in (
        encoded(grey, "GIF"),
        encoded(grey, "PNG"),
        encoded(Image.new("CMYK", (8, 8)), "JPEG"),
        encoded(Image.new("RGBA", (8, 8)), "PNG"),
    ):
        assert decode(content, "picture.jpg").mode == "RGB"


def test_sixteen_bits_are_scaled_and_not_cut():
    image = Image.fromarray(np.array([[0, 32896, 65535]], dtype=np.uint16))
    assert list(np.asarray(decode(encoded(image, "PNG"), "x"))[0, :, 0]) == [0, 128, 255]
