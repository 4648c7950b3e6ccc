"""What the page shows of a run, against its artefacts: pictures, hard negatives, calibration."""

import base64
import csv
import io
import json
import re
from pathlib import Path

import numpy as np
import pytest
from drawings import NAMES
from PIL import Image
from test_stages import finish, row
from tree import working_copy

from dpc import artifacts
from dpc.datasets.base import Item
from dpc.evaluation.calibration import ece, reliability
from dpc.params.load import load
from dpc.progress import LOG
from dpc.stages import report
from dpc.stages.layout import Layout
from dpc.stages.negatives import PAIRS
from dpc.stages.thumbnails import SIDE, Thumbnails

pytestmark = pytest.mark.slow  # whole stages


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Path:
    """A tree whose batches leave classes out, so that they are negatives, and whose prompts move;
    not to be changed."""
    root = tmp_path_factory.mktemp("finished")
    return finish(root, "dpc.batch=1", "backbones.coop.lr=0.5", "backbones.coop.epochs=4")


@pytest.fixture()
def tree(finished, tmp_path, monkeypatch) -> Path:
    """A copy of the finished tree as working directory."""
    return working_copy(finished, tmp_path, monkeypatch)


@pytest.fixture()
def pictures(tree):
    with Thumbnails(load(), Layout()) as found:
        yield found


def decoded(uri: str) -> Image.Image:
    kind, _, content = uri.partition("base64,")
    assert kind == "data:image/jpeg;"
    return Image.open(io.BytesIO(base64.b64decode(content)))


def test_a_picture_is_the_image_made_small(pictures):
    uri = pictures("shapes", "heart/0.png")
    small, whole = decoded(uri), Image.open("data/shapes/images/heart/0.png")
    assert small.size == (SIDE, SIDE)
    expected = np.asarray(whole.convert("L").resize(small.size), float)
    assert np.abs(np.asarray(small.convert("L"), float) - expected).mean() < 8
    assert pictures("shapes", "heart/0.png") == uri
    assert pictures("shapes", 1) == pictures("shapes", "heart/6.png")  # its first test image
    assert pictures("shapes", "none.png") == pictures("shapes", 99) == ""


def test_images_that_cannot_be_read_have_no_picture_and_one_warning(pictures, monkeypatch):
    said = []
    monkeypatch.setattr(LOG, "warning", lambda text, *values: said.append(text % values))
    Path("data/shapes/images/house/0.png").write_bytes(b"no image")
    Path("data/shapes/images/house/1.png").unlink()
    assert pictures("shapes", "house/0.png") == pictures("shapes", "house/1.png") == ""
    assert pictures("shapes", "house/2.png")
    (line,) = said
    assert "lacks a picture" in line and "house/0.png" in line


def test_rows_name_negatives_of_the_right_classes(tree):
    made = row("coop+dpc")
    pairs, strongest = made.tensors[PAIRS], made.results["negatives"]
    assert pairs[:, 2].max() == strongest[0]["times"] >= strongest[-1]["times"]
    known = artifacts.read(Path("results/features/shapes/shots4-seed1.safetensors"))
    items = [Item(*each) for each in json.loads(known.tensors["train.items"].tobytes())]
    label = {item.image: item.label for item in items}
    for pair in strongest:
        assert label[pair["image"]] == pair["label"]
        assert label[pair["drawn"]] == pair["negative"] != pair["label"]
        assert [pair[key] for key in ("label", "negative", "times")] in pairs.tolist()
    assert row("coop").results["negatives"] is None and PAIRS not in row("coop").tensors


@pytest.mark.parametrize("method", ["coop", "coop+dpc"])
def test_calibration_is_that_of_the_logits_that_are_tested(tree, method):
    made = row(method)
    for part in ("base", "new"):
        bins = made.results["reliability"][part]
        assert made.results["ece"][part] == ece(bins)
        kept = made.tensors[f"{part}.logits"].astype(np.float32)  # in half precision
        again = reliability(kept, made.tensors[f"{part}.labels"])
        assert ece(again) == pytest.approx(made.results["ece"][part], abs=2)
        right = sum(n * share for n, _, share in bins) / sum(n for n, _, _ in bins)
        assert right == pytest.approx(made.results[part])


def test_the_page_shows_them_and_says_where_each_row_comes_from(tree):
    page = Path("results/report/index.html").read_text()
    assert {'id="classes"', 'id="negatives"', 'id="calibration"', 'id="provenance"'} <= set(
        re.findall(r'id="\w+"', page)
    )
    assert page.count("data:image/jpeg") >= len(NAMES) // 2
    assert "no picture" not in page
    with Path("results/report/provenance.csv").open() as file:
        lines = {line["target"]: line for line in csv.DictReader(file)}
    assert set(lines) == {str(path) for path in Path("results/evaluate").rglob("*.safetensors")}
    line = lines["results/evaluate/shapes/coop+dpc/shots4-seed1.safetensors"]
    assert line["content"] == row("coop+dpc").content
    assert line["command"].endswith("--backbone coop --part main --shots 4 --seeds 1")
    same = report.files(load(), Layout())
    assert same[Path("results/report/index.html")] == page.encode()
