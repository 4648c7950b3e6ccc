"""The linear probe and Tip-Adapter against their formulas, and their rows in grid and report."""

import contextlib
import math
from dataclasses import fields, replace
from html import unescape
from pathlib import Path

import numpy as np
import pytest
import torch
from drawings import OVERRIDES, write_dataset
from report_protocols import context, generalized, page, transfer
from report_rows import make_nine, make_rows

from dpc import artifacts
from dpc.baselines import BASELINES, baseline
from dpc.baselines.base import Shots
from dpc.cli import main
from dpc.clip.model import logits
from dpc.errors import TrainingError
from dpc.params.baselines import Baselines, LinearProbeParams, TipAdapterParams
from dpc.params.contradictions import contradictions
from dpc.params.load import checked, description_for, load, preset
from dpc.params.render import render
from dpc.report.baselines import against, in_short, section
from dpc.report.context import ReportContext, report
from dpc.report.page import build
from dpc.report.rows import collect
from dpc.stages.cells import methods
from dpc.stages.layout import Layout
from dpc.stages.plan import leftovers

IMAGES, VIEWS, WIDTH, CLASSES, SCALE = 12, 3, 6, 4, 25.0
PROBE, CACHE = LinearProbeParams(), TipAdapterParams()


@pytest.fixture()
def shots():
    """Features of uneven length: whoever forgets to normalise them is found out."""
    draw = torch.Generator().manual_seed(7)
    features = torch.randn(IMAGES, VIEWS, WIDTH, generator=draw).double()
    features *= torch.linspace(0.5, 3, IMAGES).view(-1, 1, 1)
    labels = torch.arange(IMAGES) % CLASSES
    texts = 9 * torch.randn(CLASSES, WIDTH, generator=draw).double()
    return Shots(features, labels, texts, torch.tensor(SCALE).double(), seed=3)


@pytest.fixture()
def images():
    return 2 * torch.randn(5, WIDTH, generator=torch.Generator().manual_seed(8)).double()


def unit(vector):
    return vector / math.sqrt(float(vector @ vector))


def slow_probe(shots, epochs, lr):
    """Full batches, one image and one class at a time, the gradient worked out by hand."""
    weights, speed = shots.texts.numpy().copy(), np.zeros((CLASSES, WIDTH))
    for epoch in range(epochs):
        rate = 1e-5 if epoch == 0 else lr / 2 * (1 + math.cos(math.pi * (epoch - 1) / epochs))
        slope = np.zeros_like(weights)
        for i in range(IMAGES):
            image = unit(shots.features[i, epoch % VIEWS].numpy())
            scores = np.array([SCALE * image @ unit(w) for w in weights])
            shares = np.exp(scores - scores.max()) / np.exp(scores - scores.max()).sum()
            for c in range(CLASSES):
                blame = (shares[c] - (c == int(shots.labels[i]))) / IMAGES
                direction, length = unit(weights[c]), math.sqrt(weights[c] @ weights[c])
                turned = (image - (image @ direction) * direction) / length
                slope[c] += blame * SCALE * turned
        speed = 0.9 * speed + slope
        weights = weights - rate * speed
    return weights


def test_the_probe_steps_along_the_gradient_worked_out_by_hand(shots):
    params = replace(PROBE, epochs=7, lr=5.0)
    found = baseline("linear_probe").fit(shots, params)
    expected = slow_probe(shots, 7, 5.0)
    moved = np.abs(expected - shots.texts.numpy()).max()
    assert moved > 0.1
    assert np.abs(found.prototypes.numpy() - expected).max() < 1e-9 * moved


def test_an_untrained_probe_is_zero_shot_clip_to_the_bit(shots, images, monkeypatch):
    monkeypatch.setattr("dpc.baselines.linear_probe.warmup_cosine", lambda lr, epochs: [0.0] * 3)
    found = baseline("linear_probe").fit(shots, PROBE)
    assert torch.equal(found.logits(images), logits(shots.scale, images, shots.texts))


def test_the_probe_shows_the_view_of_the_epoch(shots):
    features = shots.features.clone()
    features[:, 2] = math.nan
    spoilt = replace(shots, features=features)
    baseline("linear_probe").fit(spoilt, replace(PROBE, epochs=2))
    with pytest.raises(TrainingError, match="epoch 3"):
        baseline("linear_probe").fit(spoilt, replace(PROBE, epochs=3))


def test_the_probe_is_a_function_of_its_seed_and_says_what_it_took(shots):
    params = replace(PROBE, epochs=4, batch=5)
    first, again = (baseline("linear_probe").fit(shots, params) for _ in range(2))
    assert torch.equal(first.prototypes, again.prototypes)
    other = baseline("linear_probe").fit(replace(shots, seed=4), params)
    assert not torch.equal(first.prototypes, other.prototypes)
    assert (first.facts.images_seen, first.facts.steps) == (4 * 2 * 5, 4 * 2)
    assert first.facts.learned == {"prototypes": [CLASSES, WIDTH]}
    assert len(first.facts.history["classification"]) == 4


def test_tip_adapter_is_its_formula(shots, images, monkeypatch):
    """A shot at a time: keys are means of views as they are, affinity is exp(−β(1 − cosine))."""
    monkeypatch.setattr("dpc.baselines.tip_adapter.AT_ONCE", 2)
    found = baseline("tip_adapter").fit(shots, TipAdapterParams(alpha=1.7, beta=4.0))
    got = found.logits(images)
    for i, image in enumerate(images.numpy()):
        for c in range(CLASSES):
            expected = SCALE * unit(image) @ unit(shots.texts[c].numpy())
            for shot in range(IMAGES):
                key = sum(shots.features[shot, v].numpy() for v in range(VIEWS)) / VIEWS
                if int(shots.labels[shot]) == c:
                    expected += 1.7 * math.exp(-4.0 * (1 - unit(image) @ unit(key)))
            assert float(got[i, c]) == pytest.approx(expected, rel=1e-12)
    assert (found.facts.images_seen, found.facts.steps) == (IMAGES * VIEWS, 0)


def test_an_empty_share_of_the_cache_is_zero_shot_clip_to_the_bit(shots, images):
    found = baseline("tip_adapter").fit(shots, TipAdapterParams(alpha=0.0))
    assert torch.equal(found.logits(images), logits(shots.scale, images, shots.texts))


def test_every_baseline_has_a_block_and_every_block_a_baseline():
    assert [field.name for field in fields(Baselines)] == list(BASELINES)


def test_a_baseline_among_the_backbones_is_named_with_the_fix():
    params = checked(preset("smoke"), "smoke")
    params = replace(params, run=replace(params.run, backbones=["linear_probe"]))
    assert any("name it in run.baselines" in line for line in contradictions(params))


def test_a_target_has_no_row_of_a_baseline():
    params = checked(preset("smoke"), "smoke")
    run = replace(params.run, baselines=["tip_adapter"], targets=["icons-remix"])
    params = replace(params, run=run)
    names = {set_: [m.name for m in methods(params, set_)] for set_ in params.tested}
    assert names["icons-bootstrap"][:2] == ["zero_shot", "tip_adapter"]
    assert "tip_adapter" not in names["icons-remix"]


def with_baselines(rows, seeds=(1, 2), lead=9.0):
    """The rows, and for each zero-shot row those of a probe: ``lead`` points above it, with new
    classes (or nothing else) as zero-shot CLIP has them."""
    first = "base" if "base" in rows[0] else "accuracy"
    zero = [row for row in rows if row["backbone"] == "zero_shot"]
    sources = {row["source"] for row in rows if row.get("source")}
    made = [
        row
        | {"method": "linear_probe", "backbone": "linear_probe", "label": "Probe", "seed": seed}
        | {"baseline": {"lr": 0.1, "epochs": 300, "batch": 256}, "images_seen": 900}
        | {first: row[first] + lead + 0.1 * seed, "source": row["dataset"]}
        for row in zero
        for seed in seeds
        if not sources or row["dataset"] in sources
    ]
    return [*rows, *made]


def test_a_baseline_stands_between_zero_shot_clip_and_the_backbones():
    results = collect(with_baselines(make_rows(), seeds=(1, 2, 3)))
    labels = [contender.label for contender in results.shown()]
    assert labels[:3] == ["Zero-shot CLIP", "Probe", "CoOp"]
    assert results.backbones == ("coop",)
    assert [contender.key for contender in results.baselines] == ["linear_probe"]


@pytest.mark.parametrize(("lead", "above", "below"), [(-30.0, 2, 0), (18.0, 0, 2)])
def test_what_prompts_buy_follows_from_the_numbers(lead, above, below):
    rows = with_baselines(make_rows(), seeds=(1, 2, 3), lead=lead)
    made = report(rows, ReportContext({"run": {"backbones": ["coop"]}}))
    assert f"{above} above Probe, {below} below, 0 not told apart." in in_short(made.series)
    (base, h) = against(made.series)[None].values()
    for each in (*base, *h):
        gaps = [
            one[each.measure.metric] - two[each.measure.metric] for one, two in each.pairs.values()
        ]
        assert each.seeds.mean == pytest.approx(sum(gaps) / len(gaps))
        assert each.second.kind == "baseline"
        assert each.family == 2
    words = section(made).words[0]
    assert ("None is shown to be above it." in words) == (above == 0)


def test_methods_that_are_left_out_are_said_to_be():
    rows = with_baselines(make_nine(("icons-tabler",)), seeds=(1, 2, 3), lead=30.0)
    made = report(rows, ReportContext())
    assert "None (transductive ones left out) is shown to be" in section(made).words[0]
    assert "with a prompt (transductive ones left out) against" in in_short(made.series)


def test_one_seed_tells_nothing_apart():
    rows = with_baselines(make_rows(seeds=(1,)), seeds=(1,))
    made = report(rows, ReportContext({"run": {"backbones": ["coop"]}}))
    assert "0 above Probe, 0 below, 2 not told apart" in in_short(made.series)
    assert "without a spread over seeds" in section(made).words[0]


def test_without_baselines_the_page_says_nothing_of_them():
    made = report(make_rows(), ReportContext())
    assert section(made) is None
    assert in_short(made.series) == ""


def test_the_page_says_whose_the_new_classes_are(undrawn):
    text = unescape(page(build(with_baselines(make_rows(("icons-tabler",))), ReportContext())))
    assert "new is zero-shot CLIP's, by construction" in text
    assert "Probe: lr 0.1, epochs 300, batch 256" in text


@pytest.mark.slow
@pytest.mark.parametrize(
    ("protocol", "rows", "words"),
    [
        ("generalized", lambda: generalized(("icons-tabler",)), "compete with zero-shot CLIP's"),
        ("cross-dataset", lambda: transfer(seeds=(1, 2)), "a target has no row of theirs"),
    ],
)
def test_other_protocols_have_pages_with_baselines(protocol, rows, words, undrawn):
    built = build(with_baselines(rows()), context(protocol))
    assert words in unescape(page(built))
    assert b"linear_probe" in built["table.csv"]


def read(root, method, name="shots4-seed1"):
    return artifacts.read(Path(root) / f"evaluate/shapes/{method}/{name}.safetensors")


@pytest.mark.slow
def test_rows_of_baselines_on_a_small_set(tmp_path, capsys):
    """Under three protocols: what no baseline was made for is zero-shot CLIP's to the bit. Its row
    is a leftover once it is taken out of the grid."""
    values = preset("smoke", [*OVERRIDES, "run.baselines=[linear_probe,tip_adapter]"])
    with contextlib.chdir(tmp_path):
        write_dataset(tmp_path)
        Path("params.yaml").write_text(render(values, description_for(values)))
        for stage in ("slices", "prepare", "features"):
            assert main([stage, "-q"]) == 0
        names = "zero_shot,linear_probe,tip_adapter"
        assert main(["evaluate", "-q", "--backbone", names]) == 0
        for protocol in ("generalized", "few-shot"):
            command = ["evaluate", "-q", "--backbone", names, "--out", protocol]
            assert main([*command, f"protocol={protocol}"]) == 0
        for name in BASELINES:
            apart, zero = read("results", name), read("results", "zero_shot", "all")
            assert np.array_equal(apart.tensors["new.logits"], zero.tensors["new.logits"])
            assert not np.array_equal(apart.tensors["base.logits"], zero.tensors["base.logits"])
            assert apart.results["new"] == zero.results["new"]
            joint, plain = read("generalized", name), read("generalized", "zero_shot", "all")
            for half in ("base", "new"):
                ours, theirs = (one.tensors[f"{half}.logits"] for one in (joint, plain))
                assert np.array_equal(ours[:, 3:], theirs[:, 3:])
                assert not np.array_equal(ours[:, :3], theirs[:, :3])
            assert np.array_equal(joint.tensors["base.logits"][:, :3], apart.tensors["base.logits"])
            whole = read("few-shot", name)
            assert whole.tensors["test.logits"].shape == (12, 6)
            assert whole.results["shots"] == 4
        assert {f"evaluate.{name}.json" for name in BASELINES} <= {
            path.name for path in Path("results/.params").iterdir()
        }
        params = load(overrides=["run.baselines=[]"])
        named = {path.parent.name for path in leftovers(params, Layout())}
        assert named == set(BASELINES)
        capsys.readouterr()
        assert main(["evaluate", "-q", "--backbone", "tip_adapter", "run.baselines=[]"]) == 1
        assert "tip_adapter is not in run.baselines" in capsys.readouterr().err
