"""The paper beside us: its numbers, when a comparison holds, and what it says."""

import csv
import hashlib
import io
import random
from importlib.resources import files

import pytest
from composed import preset
from jinja2 import Environment, StrictUndefined

from dpc.datasets.catalog import CATALOG
from dpc.evaluation.statistics import harmonic_mean
from dpc.params.load import as_dict, checked
from dpc.report.paper import paper_context, paper_csv
from dpc.report.paper_comparison import comparison
from dpc.report.paper_numbers import (
    AVERAGE,
    BACKBONES,
    DATASETS,
    ablation,
    base_to_new,
    published,
)
from dpc.report.paper_reasons import left_out, reasons
from dpc.report.rows import collect, ladder

SETS, COOP = tuple(DATASETS), ("coop", "coop+dpc")
METHODS = tuple(key for name in BACKBONES for key in (name, f"{name}+dpc"))


# SHA-256 of each file, so that no number of it changes unseen.
DIGESTS = {
    "base_to_new": "13d4353005079f91212f9191de34dd5ce9a617a48b36fe22a5ad10508d06eab2",
    "ablation": "fe21a5421fae9edb3cc1b972b39e98afe4ed5b2f12dfa1120e137126d20bc6c9",
    "published": "9800039d290f819e5aebce04356dc6e0ae98855a76a6cac244ec23c6cf1152eb",
}
PRESET = as_dict(checked(preset("paper-base-to-new")))


def params(**changes):
    """Those of the paper's grid, with other values at ``section__key``."""
    values = dict(PRESET)
    for key, value in changes.items():
        section, _, name = key.partition("__")
        values[section] = values[section] | {name: value} if name else value
    return values


def said(names=SETS, **changes):
    """What a run says of its data sets, all of them the published ones but for ``changes``."""
    found = []
    for name in names:
        known = CATALOG[name]
        counts = {"n_train": known.train, "n_test": known.test, "classes": known.classes}
        found.append({"name": name, "published": True, **counts, **changes.get(name, {})})
    return found


def shown(results, own=None, datasets=None, ablated=None):
    """The section's values, with the paper's own data where nothing else is said."""
    return paper_context(results, own or params(), datasets or said(), ablated)


def written(results, own=None, datasets=None):
    return read(paper_csv(results, own or params(), datasets or said()))


def compared(results, own=None):
    return comparison(results, own or params(), said())


def row(dataset, method, seed, base, new, rung=None):
    """An evaluated row."""
    backbone, _, suffix = method.partition("+")
    return {
        "dataset": dataset,
        "source": dataset,
        "protocol": "base-to-new",
        "shots": 16,
        "method": method,
        "backbone": backbone,
        "label": BACKBONES[backbone],
        "transductive": backbone == "promptkd",
        "dpc": bool(suffix),
        "budget": False,
        "rung": rung,
        "seed": seed,
        "base": base,
        "new": new,
        "omega_b": 0.2 if suffix else None,
        "omega_n": 0.0 if suffix else None,
        "n_base": 400,
        "n_new": 400,
        "images_seen": 100,
        "images_per_step": 4.0,
        "steps": 25,
        "selected": None,
        "curves": None,
        "history": {},
        "learned": {},
    }


def rows_at(shift=0.5, sets=SETS, methods=METHODS, seeds=(1, 2, 3)):
    """Rows whose base lies ``shift`` above the paper's, whose new is the paper's own."""
    made = []
    for dataset in sets:
        for method in methods:
            paper = base_to_new()[method, dataset]
            spread = {1: -0.1, 2: 0.0, 3: 0.1}
            made += [
                row(dataset, method, seed, paper.base + shift + spread[seed], paper.new)
                for seed in seeds
            ]
    return made


def results_at(**options):
    made = rows_at(**options)
    random.Random(0).shuffle(made)
    return collect(made, SETS, tuple(BACKBONES))


def read(text):
    return list(csv.DictReader(io.StringIO(text)))


def only(lines, **wanted):
    found = [line for line in lines if all(line[key] == value for key, value in wanted.items())]
    assert len(found) == 1, (wanted, found)
    return found[0]


# --- the numbers themselves


def test_the_table_is_whole():
    assert set(base_to_new()) == {(m, d) for m in METHODS for d in (*SETS, AVERAGE)}


@pytest.mark.parametrize("key", base_to_new())
def test_every_h_is_the_harmonic_mean(key):
    accuracy = base_to_new()[key]
    assert accuracy.h == pytest.approx(harmonic_mean(accuracy.base, accuracy.new), abs=0.0101)


@pytest.mark.parametrize("method", METHODS)
def test_averages_are_means_of_the_eleven(method):
    for metric in ("base", "new"):
        mean = sum(getattr(base_to_new()[method, name], metric) for name in SETS) / 11
        assert getattr(base_to_new()[method, AVERAGE], metric) == pytest.approx(mean, abs=0.0051)


@pytest.mark.parametrize("backbone", BACKBONES)
def test_dpc_leaves_new_classes_to_the_backbone(backbone):
    for name in (*SETS, AVERAGE):
        assert base_to_new()[f"{backbone}+dpc", name].new == base_to_new()[backbone, name].new


def test_the_ablation_ends_where_the_table_does():
    assert ablation()["backbone"] == base_to_new()["coop", AVERAGE]
    assert ablation()["de"] == base_to_new()["coop+dpc", AVERAGE]
    assert set(ablation()) == {"backbone", "ts", "dhno", "we", "we+de", "de"}
    for accuracy in (*ablation().values(), *(each for each, _ in published().values())):
        assert accuracy.h == pytest.approx(harmonic_mean(accuracy.base, accuracy.new), abs=0.0101)


def test_published_averages_of_the_backbones():
    assert {name: tuple(each) for name, (each, _) in published().items()} == {
        "coop": (82.69, 63.22, 71.66),
        "maple": (82.28, 75.14, 78.55),
        "promptsrc": (84.26, 76.10, 79.97),
        "promptkd": (86.96, 80.73, 83.73),
    }
    assert all("arXiv" in source for _, source in published().values())


@pytest.mark.parametrize("name", DIGESTS)
def test_each_file_names_its_source_and_stays_as_it_is(name):
    data = files("dpc.report").joinpath(f"paper/{name}.csv").read_bytes()
    assert data.startswith(b"# ") and b"arXiv" in data
    assert hashlib.sha256(data).hexdigest() == DIGESTS[name]


def test_datasets_have_the_names_of_the_catalog():
    assert {name: CATALOG[name].title for name in DATASETS} == dict(DATASETS)


# --- when a comparison holds


def test_the_papers_grid_may_be_compared():
    assert reasons(params()) == []
    assert reasons(params(clip__model="ViT-B-16")) == []
    assert left_out(params()) == {}


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({"protocol": "few-shot"}, "the protocol is few-shot"),
        ({"protocol": "generalized"}, "the protocol is generalized"),
        ({"protocol": "cross-dataset"}, "cross-dataset tables are not known here"),
        ({"protocol": "domain-generalization"}, "tables are not known here"),
        ({"clip__model": "ViT-B-32-quickgelu"}, "the CLIP is ViT-B-32-quickgelu (openai)"),
        ({"clip__pretrained": "laion2b_s34b_b88k"}, "(laion2b_s34b_b88k), and the paper's"),
        ({"clip__pretrained": "b16.safetensors"}, "(b16.safetensors), and the paper's"),
        ({"run__shots": [8]}, "shots are 8"),
        ({"run__shots": [1, 16]}, "shots are 1, 16"),
        ({"run__datasets": ["icons-tabler"]}, "none of the paper's 11 data sets"),
        ({"run__backbones": ["kgcoop"]}, "none of the paper's backbones"),
    ],
)
def test_one_difference_forbids_the_comparison(changes, word):
    (reason,) = reasons(params(**changes))
    assert word in reason


def test_nothing_recorded_is_no_comparison():
    assert len(reasons({})) == 5
    assert "not recorded" in " ".join(reasons({}))


def test_a_forbidden_comparison_shows_no_number_of_the_paper():
    results = results_at()
    context = shown(results, params(run__shots=[4]))
    assert context["line"] == (
        "No comparison with the paper's numbers holds: shots are 4, and the paper's are 16."
    )
    assert not context["holds"]
    assert "\n" not in context["line"]
    for key in ("notes", "methods", "gains", "standings", "rungs"):
        assert context[key] == []
    assert written(results, params(run__shots=[4])) == []
    assert "85.15" not in html(context) and "<table" not in html(context)


# --- what it says


def standing(context, name):
    """Row of a backbone's published, run and own averages -> its cells."""
    lines = next(lines for found, _, lines in context["standings"] if found == name)
    return {label: cells for label, *cells in lines}


def test_differences_on_sets_and_average():
    found = compared(results_at(shift=0.5), params())
    assert found.complete and len(found.pairs) == 8 * 12
    for pair in found.pairs:
        assert pair.difference.base == pytest.approx(0.5, abs=0.006)
        assert pair.difference.new == pytest.approx(0.0, abs=0.006)
        assert pair.ours.h == pytest.approx(harmonic_mean(pair.ours.base, pair.ours.new))
    lines = written(results_at(shift=0.5), params())
    line = only(lines, quantity="accuracy", method="coop", dataset="dtd", metric="base")
    assert (line["ours"], line["reference"], line["difference"]) == ("80.5900", "80.09", "0.5000")
    assert line["ours_std"] == "0.1000"


def test_a_foreign_set_in_the_grid_is_no_part_of_the_average():
    made = [*rows_at(), *[row("pets", m, s, 1.0, 1.0) for m in METHODS for s in (1, 2, 3)]]
    found = compared(collect(made), params(run__datasets=[*SETS, "pets"]))
    average = next(p for p in found.pairs if p.dataset == AVERAGE)
    assert average.difference.base == pytest.approx(0.5, abs=0.006)
    assert found.datasets == SETS


def test_a_part_of_the_sets_has_no_average():
    sets = ("dtd", "eurosat")
    results, own = results_at(sets=sets), params(run__datasets=list(sets))
    context = shown(results, own)
    assert context["line"].startswith("Ours beside the paper's base-to-new table: 2 of its 11")
    assert any(note.startswith("No average: ImageNet, Caltech101,") for note in context["notes"])
    assert all(name != "Average of 11" for _, lines in context["methods"] for name, _ in lines)
    coop = standing(context, "CoOp")
    assert coop["as published"] == ["82.69", "63.22", "71.66", "+4.47", "–"]
    assert coop["here"] == coop["here, + DPC"] == ["–"] * 5
    mean = (4.52 + 5.80) / 2
    ours, paper = (cells for cells in context["gains"] if cells[0] == "CoOp")
    assert ours[2] == paper[2] == f"+{mean:.2f}"


def test_gains_wins_and_the_set_that_carries_them():
    found = compared(results_at(), params())
    gains = {(gain.backbone, gain.source): gain for gain in found.gains}
    for source in ("ours", "paper"):
        kd, coop = gains["promptkd", source], gains["coop", source]
        assert kd.counts == (5, 0, 6)
        assert kd.carrier == "fgvc_aircraft"
        assert kd.mean == pytest.approx(0.69, abs=0.01)
        assert kd.without["fgvc_aircraft"] == pytest.approx((kd.mean * 11 - 4.14) / 10, abs=0.001)
        assert coop.counts == (11, 0, 0) and coop.carrier == "fgvc_aircraft"
        share = coop.gaps["fgvc_aircraft"] / sum(coop.gaps.values())
        assert share == pytest.approx(0.236, abs=0.005)
    lines = written(results_at(), params())
    line = only(lines, quantity="gain_without", method="promptkd+dpc", dataset="fgvc_aircraft")
    assert float(line["reference"]) == pytest.approx(0.34, abs=0.01)
    assert float(line["ours"]) == pytest.approx(0.34, abs=0.01)


def test_a_loss_is_carried_by_the_set_that_loses_most():
    made = rows_at(methods=COOP, shift=0.0)
    for each in made:
        if each["dpc"]:
            each["base"] -= 12.0 if each["dataset"] == "eurosat" else 9.0
    (ours, paper) = compared(collect(made), params(run__backbones=["coop"])).gains
    assert ours.mean < 0 and ours.counts == (0, 0, 11)
    assert ours.carrier == max(ours.gaps, key=lambda name: -ours.gaps[name])
    assert paper.mean > 0


def test_gains_over_published_and_over_the_papers_own_runs():
    context = shown(results_at(shift=0.0), params())
    over = {name: standing(context, name) for name in BACKBONES.values()}
    gains = {
        name: (lines["as published"][3], lines["the paper's run"][3])
        for name, lines in over.items()
    }
    assert gains == {
        "CoOp": ("+4.47", "+1.29"),
        "MaPLe": ("+0.57", "+1.04"),
        "PromptSRC": ("+0.07", "+1.17"),
        "PromptKD": ("+0.18", "+0.32"),
    }
    coop = over["CoOp"]
    assert coop["the paper's run"] == ["81.98", "68.84", "74.84", "+1.29", "–"]
    assert coop["the paper's, + DPC"] == ["85.15", "68.84", "76.13", "–", "–"]
    assert coop["here, + DPC"][:3] == ["85.15", "68.84", "76.13"]
    assert (coop["here"][4], coop["as published"][4]) == ("+1.29", "+4.47")


def test_both_averages_of_h():
    context = shown(results_at(shift=0.0), params())
    for contender, lines in context["methods"]:
        cells = dict(lines)
        if contender.key == "coop+dpc":
            assert cells["Average of 11"][7] == "76.13"
            assert cells["Mean of the sets' H"][7] == "75.28"
        if contender.key == "promptkd+dpc":
            assert cells["Mean of the sets' H"][7] == "83.75"


def test_the_ablation_stands_beside_the_papers():
    plain, dpc = rows_at(methods=("coop",)), rows_at(methods=("coop+dpc",))
    rungs = [each | {"rung": "ts", "method": "coop+ts", "base": 80.0} for each in dpc]
    made = [*plain, *dpc, *rungs]
    context = shown(collect(made), ablated=ladder(made))
    cells = {line[0]: line for line in context["rungs"]}
    assert cells["+ TS"][1:4] == ["80.00", "82.69", "−2.69"]
    assert set(cells) == {"CoOp", "+ TS", "+ DE"}
    few = [each for each in made if each["dataset"] != "dtd"]
    assert shown(collect(few), ablated=ladder(few))["rungs"] == []


def html(context):
    environment = Environment(undefined=StrictUndefined, autoescape=True)
    text = files("dpc.report").joinpath("paper.html.j2").read_text("utf-8")
    return environment.from_string(text).render(
        paper=context, symbols=str, swatch=lambda contender: "tone-1"
    )


def test_the_section_holds_every_table():
    made = html(shown(results_at(), params()))
    assert made.count("<table") == 3
    assert made.count("<table") == made.count("</table>")
    for word in ("85.15", "84.26", "FGVCAircraft", "Mean of the sets&#39; H"):
        assert word in made
    assert "PromptKD (transductive)" in made and "arXiv 2307.06948" in made
