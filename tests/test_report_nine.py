"""The report of nine rows: order, the transductive block, the ablation, recipes and costs."""

import csv
import io
import json
import re

import pytest
from report_rows import NINE, make_nine

from dpc.errors import DpcError
from dpc.report.ablations import rungs
from dpc.report.curves import average_curve, change_curve
from dpc.report.headline import headline
from dpc.report.metrics import summary
from dpc.report.page import ReportContext, build
from dpc.report.recipes import exceptions, facts, recipes, teacher
from dpc.report.rows import collect, ladder
from dpc.report.scores import Contender
from dpc.report.svg import PALETTE, TONES, tone
from dpc.report.tables import AVERAGE, TRANSDUCTIVE, main_table

pytestmark = pytest.mark.slow

SETS = ("icons-tabler", "icons-remix")
ORDER = ("promptkd", "promptsrc", "coop", "maple")  # not that of the alphabet; PromptKD moves last
PARAMS = {
    "run": {"backbones": list(ORDER)},
    "backbones": {name: {"lr": 0.03, "epochs": 20, "batch": 32} for name in NINE},
    "dpc": {
        "lr": 0.01,
        "epochs": 5,
        "batch": 8,
        "weight": 0.2,
        "weight_new": 0.0,
        "negatives": {"k": 4, "pool": "fewshot"},
        "by_backbone": {"maple": {"lr": 0.004, "weight": 1.0, "negatives": {"k": 8}}},
    },
    "teacher": {
        "backbone": "promptsrc",
        "model": "icons-large",
        "pretrained": "embedded",
        "seed": 1,
        "settings": {"epochs": 7},
    },
}
CONTEXT = ReportContext(params=PARAMS, clip="icons", datasets=[{"name": name} for name in SETS])


@pytest.fixture(scope="module")
def rows():
    return make_nine(SETS, (1, 2))


@pytest.fixture(scope="module")
def built(rows) -> dict[str, bytes]:
    return build(rows, CONTEXT)


def table(built, name: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(built[name].decode())))


def test_rows_stand_in_the_order_of_the_params_and_transductive_ones_apart(rows):
    results = collect(rows, SETS, ORDER)
    labels = [m.label for m in results.shown()]
    assert labels == [
        "Zero-shot CLIP",
        "PromptSRC",
        "PromptSRC + DPC",
        "CoOp",
        "CoOp (same budget)",
        "CoOp + DPC",
        "MaPLe",
        "MaPLe + DPC",
        "PromptKD",
        "PromptKD + DPC",
    ]
    for block in main_table(results).blocks:
        (apart, above), (transductive, below) = block.groups
        assert (apart, transductive) == (False, True)
        assert {line.contender.backbone for line in below} == {"promptkd"}
        for lines in (above, below):  # each group has its own best
            assert {metric for line in lines for metric in line.best} == {"base", "new", "h"}


def test_every_file_marks_what_is_transductive(built):
    page = built["index.html"].decode()
    assert page.count('<tr class="apart">') == 3 and page.count(TRANSDUCTIVE) == 1
    assert "transductive rows apart" in page and "PromptKD (transductive)" in page
    markdown, latex = built["table.md"].decode(), built["table.tex"].decode()
    assert markdown.count("*transductive:*") == 3 and TRANSDUCTIVE in markdown
    assert latex.count(r"\cmidrule{2-5}") == 3 and latex.count(TRANSDUCTIVE) == 1
    flags = {line["method"]: line["transductive"] for line in table(built, "table.csv")}
    assert {name for name, flag in flags.items() if flag == "true"} == {"promptkd", "promptkd+dpc"}
    found = json.loads(built["metrics.json"])
    assert {row["backbone"] for row in found["rows"] if row["transductive"]} == {"promptkd"}


@pytest.mark.usefixtures("undrawn")
@pytest.mark.slow
def test_nothing_is_transductive_where_nothing_is(rows):
    built = build([row for row in rows if row["backbone"] != "promptkd"], CONTEXT)
    for name in ("table.md", "table.tex"):
        assert "ransductive" not in built[name].decode()
    page = built["index.html"].decode()
    assert "transductive" not in re.sub(r"(?s)<(style|script)\b.*?</\1>", "", page).lower()


@pytest.mark.slow
def test_rungs_stand_in_their_own_table_alone(rows, built):
    ordinary = [row for row in rows if row["rung"] is None]
    without = build(ordinary, CONTEXT)
    for name, content in built.items():
        if name not in ("ablations.csv", "index.html"):
            assert content == without[name], name
    assert headline({None: collect(rows, SETS)}) == headline({None: collect(ordinary, SETS)})
    assert 'id="ablations"' in built["index.html"].decode()
    assert 'ablations"' not in without["index.html"].decode()
    assert without["ablations.csv"].count(b"\n") == 1  # the header: engines expect the file


def test_ablation_goes_from_the_backbone_to_dpc(rows, built):
    results = ladder(rows, SETS, ORDER)
    assert results.backbones == ("coop", "maple")
    for lines in rungs(results):
        assert [rung.contender.kind for rung in lines] == ["plain", "ts", "dhno", "we", "dpc"]
        assert [rung.images for rung in lines] == ["4.0", "4.0", "23.1", "23.1", "23.1"]
        expected = [("", ""), ("1", "1"), ("1", "1"), ("0.2", "0.2"), ("0.2", "0")]
        assert [rung.weights for rung in lines] == expected
    mains = {
        line["method"]: line
        for line in table(built, "table.csv")
        if line["dataset"] == "Average" and line["selection"] == "last"
    }
    lines = table(built, "ablations.csv")
    assert len(lines) == 3 * 2 * 5
    assert [line["rung"] for line in lines[:5]] == ["backbone", "ts", "dhno", "we", "de"]
    for line in lines:
        if line["dataset"] == AVERAGE and line["rung"] in ("backbone", "de"):
            for field in ("base", "base_std", "new", "h", "h_std"):
                assert line[field] == mains[line["method"]][field]
    tabler = [
        row["base"] for row in rows if (row["dataset"], row["method"]) == (SETS[0], "coop+ts")
    ]
    assert float(lines[1]["base"]) == pytest.approx(sum(tabler) / 2, abs=1e-4)


@pytest.mark.usefixtures("undrawn")
@pytest.mark.slow
def test_a_rung_that_did_not_run_is_a_dash(rows):
    built = build([row for row in rows if row["rung"] != "we"], CONTEXT)
    page = built["index.html"].decode()
    line = page[page.index(">+ WE</td>") :]
    assert re.sub("<[^>]*>", "", line[: line.index("</tr>")]) == ">+ WE" + "–" * 6 + (
        "85.15 / 65.88 / 74.29"  # the paper's
    )
    assert "we" not in {line["rung"] for line in table(built, "ablations.csv")}


def test_an_unknown_rung_is_refused(rows):
    with pytest.raises(DpcError, match="rung 'xx'; rungs are ts, dhno, we"):
        ladder([rows[-1] | {"rung": "xx"}])


def test_headline_is_short_and_names_every_backbone(rows):
    lines = headline({None: collect(make_nine(), (), ORDER)})
    assert len(lines) == 3 and all(len(line) < 300 for line in lines)
    base = lines[0]
    assert base.startswith("On base classes, at ω_b = 0.2: DPC gains ")
    gained, lost = base.split("; DPC loses ")
    assert "PromptSRC" in gained and "CoOp" in gained
    lost, none = lost.split("; there is no significant difference from ")
    assert "PromptKD" in lost and "MaPLe" in none
    assert lines[1] == "New classes: unchanged to the digit by construction (ω_n = 0)."
    assert "CoOp of the same total budget" in lines[2] and "MaPLe" not in lines[2]


def test_summary_of_nine_rows_is_their_h_and_the_mean_gain(rows, built):
    found = json.loads(built["summary.json"])
    methods = [name for each in NINE for name in (each, f"{each}_dpc")]
    assert set(found) == {"gain_base", "zero_shot_h", *(f"{name}_h" for name in methods)}
    averages = json.loads(built["metrics.json"])["averages"]
    gains = [averages[f"{name}+dpc"]["base"] - averages[name]["base"] for name in NINE]
    assert found["gain_base"] == pytest.approx(sum(gains) / 4, abs=1e-4)
    more = [
        row | {"backbone": "fifth", "label": "Fifth"} for row in rows if row["backbone"] == "maple"
    ]
    kept = summary([*rows, *more])  # five backbones: those with DPC go before those without
    assert len(kept) == 10 and {f"{name}_dpc_h" for name in (*NINE, "fifth")} < set(kept)


def test_recipes_take_the_keys_of_their_backbone(rows):
    lines = {line[0]: line[1:] for line in recipes(collect(rows, SETS, ORDER), PARAMS)}
    kept = "image_l1, kl, text_l1 (filtered classes)"
    assert lines["PromptSRC"] == ["0.03, 20, 32", "0.01, 5, 8", "4", "0.2", "0", kept, "frozen"]
    assert lines["MaPLe"] == ["0.03, 20, 32", "0.004, 5, 8", "8", "0.2", "0", "none", "frozen"]
    text = teacher(collect(rows), PARAMS)
    assert text.startswith("Teacher of PromptKD: PromptSRC on CLIP icons-large (embedded), seed 1")
    assert text.endswith("0.03, 7, 32.")
    files = {"promptsrc": {"tuned": True}, "coop": {"parallel": True}, "teacher": {"tuned": True}}
    given = PARAMS | {"imported": files}
    lines = {line[0]: line[1:4] for line in recipes(collect(rows, SETS, ORDER), given)}
    assert lines["PromptSRC"] == ["imported", "0.01, 5, 8", "4"]
    assert lines["CoOp"][1:] == ["imported", "–"] and lines["CoOp"][0] != "imported"
    assert teacher(collect(rows), given).endswith("seed 1, imported.")
    assert recipes(collect(rows), {})[0][1:4] == ["–, –, –", "–, –, –", "–"]


@pytest.mark.usefixtures("undrawn")
def test_exceptions_say_what_reaches_the_teacher(rows):
    blocks = [
        {"backbone": "promptsrc", "datasets": ["dtd"], "settings": {"lr": 0.1, "epochs": 2}},
        {"backbone": "promptsrc", "shots": [4], "settings": {"lr": 0.2}},
        {"backbone": "coop", "settings": {"lr": 0.3}},
    ]
    params = PARAMS | {"exceptions": dict(enumerate(blocks)), "run": {"shots": [16]}}
    lines = [
        "promptsrc on dtd: lr 0.1, epochs 2",  # the teacher has epochs of its own
        "promptsrc, 4 shots: lr 0.2",
        "coop: lr 0.3",
    ]
    taught = [f"{lines[0]} (lr of the teacher as well)", *lines[1:]]
    assert exceptions(collect(rows), params) == taught
    few = params | {"run": {"shots": [4, 16]}}
    assert exceptions(collect(rows), few)[1] == f"{lines[1]} (lr of the teacher as well)"
    alone = [row for row in rows if not row["transductive"]]
    assert exceptions(collect(alone), params) == lines
    page = build(rows, ReportContext(params=params))["index.html"].decode()
    assert "epochs 2 (lr of the teacher as well)." in page


def test_costs_are_means_over_the_runs(rows, built):
    results = collect(rows, SETS)
    cells = facts(results, results.contender("maple", "dpc")).cells
    assert cells == ["MaPLe + DPC", "10,240", "23.1", "1,400", "768"]
    assert facts(results, Contender("zero_shot", "zero_shot")).cells[1:] == ["0", "–", "0", "0"]
    page = built["index.html"].decode()
    for words in ("What training cost", "The recipe of each backbone", "a preset of its own"):
        assert words in page


def test_curves_of_the_average_and_of_the_change(rows):
    results = collect(rows, SETS)
    dpc = results.contender("coop", "dpc")
    runs = [row for row in rows if row["method"] == "coop+dpc"]
    points = average_curve(results, dpc, "omega_b", "test")
    tests = [row["curves"]["omega_b"][-1]["test"] for row in runs]
    assert points[-1].mean == pytest.approx(sum(tests) / 4) and points[-1].n == 2
    changes = change_curve(results, SETS[0], "coop", "omega_b")
    plain = [r["base"] for r in rows if (r["dataset"], r["method"]) == (SETS[0], "coop")]
    tests = [r["curves"]["omega_b"][-1]["test"] for r in runs if r["dataset"] == SETS[0]]
    assert changes[0].mean == pytest.approx(0) and changes[0].std == pytest.approx(0)
    assert changes[-1].mean == pytest.approx((sum(tests) - sum(plain)) / 2)
    fewer = collect([row for row in rows if (row["dataset"], row["dpc"]) != (SETS[0], True)], SETS)
    assert average_curve(fewer, dpc, "omega_b", "test") == []


def test_colours_go_by_place_and_are_distinct():
    names = [f"learner{number}" for number in range(8)]
    assert [tone(names, name) for name in names] == [*TONES, *TONES[:2]]
    assert tone(names, "zero_shot") == "quiet"
    for mode in (0, 1):
        assert len({pair[mode] for pair in PALETTE.values()}) == len(PALETTE)
    light, dark = ({pair[mode] for pair in PALETTE.values()} for mode in (0, 1))
    assert not light & dark


def test_figures_of_nine_rows(built):
    names = {name.removeprefix("figures/") for name in built if name.endswith(".svg")}
    assert {"tradeoff.svg", *(f"tradeoff-{name}.svg" for name in NINE)} <= names
    for curve in ("omega_b", "omega_n"):
        curve = curve.replace("_", "-")
        assert {f"{curve}-{name}.svg" for name in NINE} <= names
        assert {f"{curve}-change-{name}.svg" for name in SETS} <= names
    page = built["index.html"].decode()
    assert "hollow shapes are transductive" in page
