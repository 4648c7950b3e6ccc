"""The CSV beside each figure: the numbers that it shows, against the rows by the slow formula."""

from statistics import mean, stdev

import pytest
from report_protocols import ROWS as OTHERS
from report_protocols import SETS, table, undrawn_files, values
from report_rows import make_nine

from dpc.evaluation.statistics import harmonic_mean
from dpc.report.page import ReportContext, build

pytestmark = pytest.mark.slow  # whole pages are built

ROWS = make_nine(SETS, (1, 2, 3))
CLOSE = 1e-5  # six digits are written


@pytest.fixture(scope="module")
def files():
    """The report of base-to-new rows, its figures painted and not drawn."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("matplotlib.figure.Figure.draw", lambda *_: None)
        return build(ROWS, ReportContext(datasets=[{"name": name} for name in SETS]))


def of(rows, **fields):
    return [row for row in rows if all(row[name] == value for name, value in fields.items())]


def test_scatter_and_bars_are_those_of_the_rows(files):
    place = {line["method"]: line for line in table(files, "figures/tradeoff.csv")}
    bars = {line["method"]: line for line in table(files, "figures/bars.csv")}
    assert list(place) == list(bars) and len(bars) == 10
    for method, line in bars.items():
        by_seed = {}
        for row in of(ROWS, method=method):
            by_seed.setdefault(row["seed"], []).append((row["base"], row["new"]))
        seeds = [[mean(half) for half in zip(*pairs, strict=True)] for pairs in by_seed.values()]
        base, new = (mean(half) for half in zip(*seeds, strict=True))
        assert float(line["base"]) == pytest.approx(base, rel=CLOSE)
        assert float(line["new"]) == pytest.approx(new, rel=CLOSE)
        assert float(line["h"]) == pytest.approx(harmonic_mean(base, new), rel=CLOSE)
        assert (place[method]["base"], place[method]["new"]) == (line["base"], line["new"])
        if len(seeds) > 1:
            assert float(line["base_std"]) == pytest.approx(stdev(b for b, _ in seeds), rel=1e-4)
        else:
            assert line["base_std"] == line["h_std"] == ""
    one = table(files, f"figures/bars-{SETS[1]}.csv")
    news = values(ROWS, "new", dataset=SETS[1], method="maple+dpc")
    assert [float(line["new"]) for line in one if line["method"] == "maple+dpc"] == [
        pytest.approx(mean(news), rel=CLOSE)
    ]


def test_weight_curves_are_those_of_the_rows(files):
    lines = table(files, "figures/omega-b-maple.csv")
    for images, split in (("test", "test"), ("validation", "val")):
        own = [line for line in lines if line["images"] == images]
        for number, line in enumerate(own):
            points = [
                [row["curves"]["omega_b"][number] for row in of(ROWS, method="maple+dpc", seed=s)]
                for s in (1, 2, 3)
            ]
            seeds = [mean(point[split] for point in each) for each in points]
            assert float(line["omega_b"]) == points[0][0]["weight"]
            assert float(line["mean"]) == pytest.approx(mean(seeds), rel=CLOSE)
            assert float(line["std"]) == pytest.approx(stdev(seeds), rel=1e-4)
            assert line["seeds"] == "3"
        assert len(own) == 7
    change = table(files, f"figures/omega-n-change-{SETS[0]}.csv")
    last = [line for line in change if line["backbone"] == "coop"][-1]
    alone = values(ROWS, "new", dataset=SETS[0], method="coop")
    ends = [
        r["curves"]["omega_n"][-1]["test"] for r in of(ROWS, dataset=SETS[0], method="coop+dpc")
    ]
    moved = mean(a - b for a, b in zip(ends, alone, strict=True))
    assert float(last["omega_n"]) == 0.2 and float(last["change"]) == pytest.approx(moved, rel=1e-4)


def test_training_curves_are_those_of_the_rows(files):
    lines = table(files, f"figures/training-coop-{SETS[0]}.csv")
    stage_two = [line for line in lines if line["run"] == "dpc"]
    runs = of(ROWS, dataset=SETS[0], method="coop+dpc")
    losses = [mean(each) for each in zip(*(r["history"]["contrastive"] for r in runs), strict=True)]
    assert [float(line["mean"]) for line in stage_two] == pytest.approx(losses, rel=CLOSE)
    assert {line["run"] for line in lines} == {"plain", "budget", "dpc"}


def test_shots_and_offsets_are_those_of_the_rows():
    rows = OTHERS["few-shot"]()
    lines = table(undrawn_files("few-shot"), f"figures/shots-{SETS[0]}.csv")
    for line in lines:
        shots = None if line["shots"] == "0" else int(line["shots"])
        own = values(rows, "accuracy", dataset=SETS[0], method=line["method"], shots=shots)
        assert float(line["accuracy"]) == pytest.approx(mean(own), rel=CLOSE)
    assert len(lines) == 1 + 5 * 5  # zero-shot CLIP; two backbones, with DPC, one of the budget
    rows = OTHERS["generalized"]()
    lines = table(undrawn_files("generalized"), "figures/offsets.csv")
    for line in lines:
        found = [
            point["new"]
            for row in of(rows, method=line["method"])
            for point in row["offsets"]
            if point["offset"] == float(line["offset"])
        ]
        assert float(line["new"]) == pytest.approx(mean(found), rel=CLOSE)
    assert {float(line["offset"]) for line in lines} == {-2, -1, 0, 1, 2}


@pytest.mark.parametrize("protocol", ["generalized", "few-shot", "cross-dataset"])
def test_every_figure_has_all_three_files(protocol):
    built = undrawn_files(protocol)
    names = {name.rsplit(".", 1)[0] for name in built if name.startswith("figures/")}
    assert len(names) > 5
    for name in names:
        fields, *numbers = built[f"{name}.csv"].decode().splitlines()
        assert numbers and fields.count(",") >= 2
        assert built[f"{name}.svg"] and built[f"{name}.pdf"]
