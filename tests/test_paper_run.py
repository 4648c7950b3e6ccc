"""The paper beside us: what of a run is compared, what is left out and why, and what is noted."""

import pytest
from composed import preset
from report_protocols import columns
from test_paper import COOP, SETS, html, params, results_at, rows_at, said, shown, written

from dpc.params.load import as_dict, checked
from dpc.report import paper_recipe
from dpc.report.context import ReportContext
from dpc.report.page import build
from dpc.report.paper import paper_context, paper_csv
from dpc.report.paper_numbers import DATASETS
from dpc.report.paper_reasons import foreign, notes
from dpc.report.paper_recipe import departures
from dpc.report.rows import collect

KD = ("promptkd", "promptkd+dpc")
SMALLER = {"n_test": 12, "n_train": 40, "classes": 47, "published": False}


def of(*backbones, **changes):
    """The params of a grid of these backbones."""
    return params(**{"run__backbones": list(backbones)} | changes)


# --- the data


def test_a_set_of_other_images_is_left_out():
    context = shown(results_at(), datasets=said(dtd=SMALLER))
    assert (
        "dtd is not compared: its images or split are not the published ones (12 test images "
        "instead of 1,692, 40 training images instead of 2,820)."
    ) in context["notes"]
    assert "No average: not every data set is compared." in context["notes"]
    assert context["line"].startswith("Ours beside the paper's base-to-new table: 10 of its 11")
    names = {name for _, lines in context["methods"] for name, _ in lines}
    assert names == {title for key, title in DATASETS.items() if key != "dtd"}
    assert {"DTD", "80.09"}.isdisjoint(html(context).replace("<", " ").replace(">", " ").split())
    found = written(results_at(), datasets=said(dtd=SMALLER))
    assert found and "dtd" not in {line["dataset"] for line in found}
    assert "average" not in {line["dataset"] for line in found if line["quantity"] == "accuracy"}


def test_another_split_of_as_many_images_is_left_out():
    (why,) = foreign(SETS, said(eurosat={"published": False})).values()
    assert why == "its images or split are not the published ones"


@pytest.mark.parametrize("entry", [{"published": None}, {}])
def test_a_set_that_nobody_checked_is_left_out(entry):
    sets = [each for each in said() if each["name"] != "dtd"] + [{"name": "dtd", **entry}]
    context = shown(results_at(), datasets=sets)
    assert any(n.startswith("dtd is not compared: whether its") for n in context["notes"])
    assert list(foreign(("dtd", "my-own"), sets)) == ["dtd"]


def test_no_published_set_is_no_comparison():
    results, own = results_at(sets=("dtd",)), params(run__datasets=["dtd"])
    context = paper_context(results, own, said(("dtd",), dtd=SMALLER))
    assert context["line"].startswith(
        "No comparison with the paper's numbers holds: dtd is left out, since its images or split "
        "are not the published ones (12 test images"
    )
    assert not context["holds"] and context["notes"] == [] and "<table" not in html(context)
    assert paper_csv(results, own, said(("dtd",), dtd=SMALLER)).count("\n") == 1
    assert "not recorded" in paper_context(results, own)["line"]


# --- the teacher


OTHER = {"teacher__model": "ViT-B-16-quickgelu"}


def test_another_teacher_leaves_promptkd_out():
    context = shown(results_at(), params(**OTHER))
    compared = {contender.backbone for contender, _ in context["methods"]}
    assert compared == {"coop", "maple", "promptsrc"}
    assert any(n.startswith("PromptKD is not compared: its teacher") for n in context["notes"])


def test_promptkd_alone_with_another_teacher_says_why_nothing_is_compared():
    context = shown(results_at(methods=KD), of("promptkd", **OTHER))
    assert context["line"] == (
        "Nothing is compared: PromptKD is left out, since its teacher is promptsrc on "
        "ViT-B-16-quickgelu (openai), the paper's is PromptSRC on OpenAI's ViT-L/14."
    )
    assert context["methods"] == [] and "<table" not in html(context)
    assert "its teacher is promptsrc on" in html(context)


def test_sets_of_a_left_out_backbone_alone_do_not_count():
    made = [*rows_at(methods=COOP, sets=("dtd",)), *rows_at(methods=KD)]
    context = shown(collect(made), of("coop", "promptkd", **OTHER))
    assert ": 1 of its 11 data sets." in context["line"]
    assert any(note.startswith("No average: ImageNet,") for note in context["notes"])


# --- the recipe


def test_the_preset_departs_in_nothing():
    own = as_dict(checked(preset("paper-base-to-new")))
    assert departures(own, own["run"]["backbones"], SETS) == []
    found = " ".join(shown(results_at(), own)["notes"])
    assert "does not say which of the released recipes" in found and "Departs" not in found


def test_changed_keys_are_named_in_one_note():
    own = as_dict(
        checked(
            preset(
                "paper-base-to-new",
                ["backbones.coop.epochs=1", "dpc.weight=1.0", "run.backbones=[coop]"],
            )
        )
    )
    found = notes(own, ["coop"], SETS)
    assert (
        "Departs from preset paper-base-to-new: backbones.coop.epochs 1 (10), dpc.weight 1 (0.2). "
        "In brackets: the preset's."
    ) in found
    assert "released recipes" not in " ".join(found)


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (["dpc.negatives.k=4"], ["dpc.negatives.k 4 (8)"]),
        (["dpc.keep_losses=[]"], ["dpc.keep_losses [] (null)"]),
        (["data.views.count=8"], ["data.views.count 8 (20)"]),
        (["data.unlabelled=64"], ["data.unlabelled 64 (0)"]),
        (["optimizer.momentum=0.8"], ["optimizer.momentum 0.8 (0.9)"]),
        (["clip.precision=bf16"], ["clip.precision bf16 (fp32)"]),
        (["teacher.settings.epochs=2"], ["teacher.settings.epochs 2 (20)"]),
        (["teacher.seed=3"], ["teacher.seed 3 (1)"]),
        (["backbones.maple.init='a  b'"], ["backbones.maple.init “a  b” (“a photo of a”)"]),
        (
            ["backbones.promptsrc.text_weight=20"],
            ["backbones.promptsrc.text_weight 20 (25)", "teacher.settings.text_weight 20 (25)"],
        ),
        (["+dpc.by_backbone.maple.weight=1.0"], ["dpc.weight 1 (0.2) for MaPLe"]),
        (
            ["+exceptions.long={backbone: coop, datasets: [dtd, eurosat], settings: {epochs: 50}}"],
            ["backbones.coop.epochs 50 (10) on DTD and EuroSAT"],
        ),
        (["exceptions.weak_teacher.datasets=[fgvc_aircraft,oxford_flowers]"], ["… on DTD"]),
        (["+exceptions.few={backbone: coop, shots: [1], settings: {epochs: 50}}"], []),
        (["dpc.sweep=[0.0, 1.0]", "run.threads=2", "data.root=elsewhere"], []),
    ],
)
def test_what_counts_as_a_departure(overrides, said):
    own = as_dict(checked(preset("paper-base-to-new", overrides)))
    found = departures(own, own["run"]["backbones"], SETS)
    assert len(found) == len(said)
    for line, expected in zip(found, said, strict=True):
        assert line == expected or line.endswith(expected.removeprefix("…"))


def test_of_imported_prompts_the_import_is_the_reason():
    """What would have trained them has no say; what reads them, or trains the other prompt, has."""
    overrides = [
        "backbones.coop.epochs=1",
        "backbones.coop.lr=1.0",
        "dpc.epochs=1",
        "dpc.weight=1.0",
    ]
    values = as_dict(checked(preset("paper-base-to-new", [*overrides, "run.backbones=[coop]"])))
    one = values | {"imported": {"coop": {"tuned": True, "parallel": False}}}
    assert departures(one, ["coop"], SETS) == ["dpc.weight 1 (0.2)", "dpc.epochs 1 (20)"]
    assert any(each.startswith("P of CoOp was imported: ") for each in notes(one, ["coop"], SETS))
    both = values | {"imported": {"coop": {"tuned": True, "parallel": True}}}
    assert departures(both, ["coop"], SETS) == ["dpc.weight 1 (0.2)"]
    found = notes(both, ["coop"], SETS)
    assert any(each.startswith("P of CoOp and P' of CoOp were imported: ") for each in found)
    assert len(departures(values, ["coop"], SETS)) == 4
    assert not any("imported" in each for each in notes(values, ["coop"], SETS))


def test_of_an_imported_teacher_the_recipe_has_no_say():
    changed = ["teacher.settings.epochs=2", "teacher.seed=3"]
    own = as_dict(checked(preset("paper-base-to-new", changed)))
    given = own | {"imported": {"teacher": {"tuned": True, "parallel": False}}}
    assert departures(given, ["promptkd"], SETS) == ["teacher.seed 3 (1)"]
    assert "PromptKD's teacher was imported: " in " ".join(notes(given, ["promptkd"], SETS))


def test_blocks_of_backbones_that_are_not_compared_do_not_count():
    overrides = ["backbones.promptkd.lr=1.0", "teacher.seed=3", "data.unlabelled=64"]
    own = as_dict(checked(preset("paper-base-to-new", overrides)))
    assert departures(own, ["coop", "promptsrc"], SETS) == []
    assert len(departures(own, ["promptkd"], SETS)) == 3


def test_the_preset_is_not_composed_where_no_comparison_holds(monkeypatch):
    monkeypatch.setattr(paper_recipe, "preset", None)
    paper_recipe._preset.cache_clear()
    icons = params(run__datasets=["icons-tabler"], clip__model="icons")
    assert not shown(results_at(), icons)["holds"]
    assert not paper_context(results_at(), params())["holds"]


# --- the page


@pytest.mark.slow
@pytest.mark.usefixtures("undrawn")
def test_every_row_of_every_table_is_as_wide_as_its_head():
    made = rows_at()
    made += [each | {"rung": "ts", "method": "coop+ts"} for each in made if each["dpc"]][:33]
    built = build(made, ReportContext(params(), "icons", datasets=said()))
    widths = columns(built)
    assert all(len(found) == 1 for found in widths.values()), widths
    assert {"Accuracies, ours and the paper's", "Ablation, ours and the paper's"} <= set(widths)
    assert built["paper.csv"].count(b"\n") > 300


# --- other notes


def test_seeds_and_caps_are_notes():
    found = " ".join(notes(params(run__seeds=[1]) | {"data": {"unlabelled": 64}}, KD[:1], SETS))
    assert "1 seed ran; the paper has 3." in found
    assert "at most 64 unlabelled images" in found
    assert "ImageNet's shots are another draw" in found
    assert "seed" not in " ".join(notes(params(), COOP[:1], SETS)).split("ImageNet")[0]
    assert "ImageNet" not in " ".join(notes(params(), COOP[:1], ("dtd",)))


def test_how_the_released_code_chose_and_read():
    found = " ".join(notes(params(), ("coop", "promptkd"), SETS))
    assert "best on the base test images; ours is the last epoch" in found
    assert "with the parallel prompt P' alone; the rows with DPC here read them with the" in found
    alone = params(dpc__inference="parallel")
    assert "with the mix" not in " ".join(notes(alone, COOP[:1], SETS))
    assert "base test images" not in " ".join(notes(alone, COOP[:1], SETS))
    mixed = params(dpc__by_backbone={"maple": {"inference": "parallel"}})
    assert "DPC here of CoOp read" in " ".join(notes(mixed, ("coop", "maple"), SETS))
