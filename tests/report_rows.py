"""Made-up evaluated rows with the shape of a real run, for the tests of the report."""

import random
from typing import Any

SETS = {
    "icons-tabler": (64.4, 74.7, 69.2, 64.9),
    "icons-phosphor": (76.5, 79.3, 91.0, 77.2),
    "icons-remix": (80.6, 76.4, 82.8, 77.1),
    "icons-bootstrap": (73.1, 89.8, 83.9, 88.5),
    "icons-pooled": (62.9, 70.5, 66.0, 61.8),
    "folder-flowers": (71.3, 77.9, 90.1, 69.4),
}
LABELS = {
    "zero_shot": "Zero-shot CLIP",
    "coop": "CoOp",
    "maple": "MaPLe",
    "promptsrc": "PromptSRC",
    "promptkd": "PromptKD",
}
LEAD = {"coop": (0.0, 0.0), "maple": (0.7, 1.6), "promptsrc": (1.9, 3.0), "promptkd": (2.8, 4.6)}
NINE = tuple(LEAD)
WEIGHTS_B = (0.0, 0.1, 0.2, 0.3, 0.5, 0.7, 1.0)
WEIGHTS_N = (0.0, 1e-6, 0.01, 0.02, 0.05, 0.1, 0.2)


def make_rows(
    datasets: tuple[str, ...] = tuple(SETS),
    seeds: tuple[int, ...] = (1, 2, 3),
    gain: float = 0.6,
    budget_gain: float = 0.7,
    noise: float = 0.4,
) -> list[dict[str, Any]]:
    """Rows of zero-shot, CoOp, CoOp of the same budget and CoOp + DPC.

    Args:
        datasets: names out of ``SETS``.
        seeds: seeds of the tuned methods.
        gain: DPC minus CoOp on base, in points, before noise.
        budget_gain: the longer CoOp minus CoOp on base.
        noise: size of what makes the gains differ from run to run; 0: all the same.
    """
    rows = []
    for dataset in datasets:
        zero_base, zero_new, *_ = SETS[dataset]
        rows.append(_row(dataset, "zero_shot", None, zero_base, zero_new))
        for seed in seeds:
            draw = random.Random(f"{dataset}-{seed}")
            rows += _tuned_rows(dataset, "coop", seed, (gain, budget_gain, noise), draw)
    return rows


def make_nine(
    datasets: tuple[str, ...] = tuple(SETS), seeds: tuple[int, ...] = (1, 2, 3)
) -> list[dict[str, Any]]:
    """Rows of four backbones, PromptKD transductive, with the rungs of CoOp's and MaPLe's ablation.

    The nine rows of the paper's table, and CoOp's of the same budget. DPC gains on CoOp and
    PromptSRC, loses on PromptKD and does neither on MaPLe.
    """
    gains = {"coop": 0.6, "maple": 0.0, "promptsrc": 1.1, "promptkd": -0.7}
    rows = []
    for dataset in datasets:
        zero_base, zero_new, *_ = SETS[dataset]
        rows.append(_row(dataset, "zero_shot", None, zero_base, zero_new))
        for seed in seeds:
            for backbone in NINE:
                draw = random.Random(f"{dataset}-{seed}-{backbone}")
                own = _tuned_rows(dataset, backbone, seed, (gains[backbone], 0.7, 0.4), draw)
                rows += [row for row in own if backbone == "coop" or not row["budget"]]
                if backbone in ("coop", "maple"):
                    rows += _rungs(own)
    return rows


def _tuned_rows(
    dataset: str, backbone: str, seed: int, gains: tuple[float, float, float], draw: random.Random
) -> list[dict[str, Any]]:
    gain, budget_gain, noise = gains
    base, new = (
        start + lead for start, lead in zip(SETS[dataset][2:], LEAD[backbone], strict=True)
    )
    b, n = base + draw.gauss(0, 1.0), new + draw.gauss(0, 1.8)
    longer = b + budget_gain + draw.gauss(0, noise) if noise else b + budget_gain
    dpc = b + gain + draw.gauss(0, noise) if noise else b + gain
    history = _history(draw, 10, 1.4)
    if backbone == "promptsrc":
        history |= _beside(draw, 10)
    plain = _row(dataset, backbone, seed, b, n, history=history)
    row = _row(dataset, backbone, seed, longer, n - 1.1, history=_history(draw, 20, 1.4))
    row |= {"method": f"{backbone}+budget", "budget": True, "images_seen": 10400}
    return [plain, row, _dpc_row(dataset, backbone, seed, (b, n), dpc, draw)]


def _rungs(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rungs between a backbone and its row with DPC."""
    plain, _, dpc = rows
    alone = {"omega_b": 1.0, "omega_n": 1.0}  # P' reads every class
    changes = {
        "ts": {"base": plain["base"] + 0.2, "new": plain["new"] - 3} | alone,
        "dhno": {"base": dpc["base"] - 0.1, "new": plain["new"] - 5} | alone,
        "we": {"base": dpc["base"], "new": plain["new"] - 2, "omega_n": dpc["omega_b"]},
    }
    per_step = {"ts": 4.0, "dhno": 23.1, "we": 23.1}
    return [
        dpc
        | change
        | {"method": f"{plain['backbone']}+{rung}", "rung": rung, "images_per_step": per_step[rung]}
        | {"curves": None, "selected": None}
        for rung, change in changes.items()
    ]


def _row(
    dataset: str, backbone: str, seed: int | None, base: float, new: float, **more: Any
) -> dict:
    return {
        "dataset": dataset,
        "method": backbone,
        "backbone": backbone,
        "dpc": False,
        "budget": False,
        "seed": seed,
        "base": base,
        "new": new,
        "n_base": 400,
        "n_new": 410,
        "classes_base": 25,
        "classes_new": 25,
        "omega_b": None,
        "omega_n": None,
        "inference": None,
        "parametrization": None,
        "curves": None,
        "selected": None,
        "history": {},
        "images_seen": 0 if seed is None else 4000,
        "pairs_per_step": None,
        "steps": 0 if seed is None else 1000,
        "learned": {} if seed is None else {"context": [4, 192]},
        "label": LABELS[backbone],
        "transductive": backbone == "promptkd",
        "rung": None,
        "images_per_step": None if seed is None else 4.0,
        "couplings": None,
        "keep_losses": None,
        "regularize": None,
    } | more


def _dpc_row(
    dataset: str,
    backbone: str,
    seed: int,
    tuned: tuple[float, float],
    dpc: float,
    draw: random.Random,
) -> dict:
    base, new = tuned
    curve_b = [
        {
            "weight": w,
            "test": base + (dpc - base) * min(1.0, w / 0.2) + 1.2 * w * draw.random(),
            "val": base + 1.5 + 2.0 * w * draw.random(),
        }
        for w in WEIGHTS_B
    ]
    curve_n = [{"weight": w, "test": new - 12 * w - draw.random() * w} for w in WEIGHTS_N]
    best, chosen = max(curve_b, key=lambda p: p["test"]), max(curve_b, key=lambda p: p["val"])
    return _row(
        dataset,
        backbone,
        seed,
        dpc,
        new,
        method=f"{backbone}+dpc",
        dpc=True,
        omega_b=0.2,
        omega_n=0.0,
        inference="mixed",
        parametrization="parallel",
        curves={"omega_b": curve_b, "omega_n": curve_n},
        selected={
            "val": {"weight": chosen["weight"], "base": chosen["test"]},
            "test_oracle": {"weight": best["weight"], "base": best["test"]},
        },
        history={"contrastive": _history(draw, 10, 2.1)["classification"]}
        | (_beside(draw, 10) if backbone == "promptsrc" else {}),
        images_seen=10240,
        pairs_per_step=23.1,
        steps=1400,
        images_per_step=23.1,
        couplings="frozen",
        keep_losses=None if backbone == "promptsrc" else [],
        regularize="filtered",
    )


def _beside(draw: random.Random, epochs: int) -> dict[str, list[float]]:
    """PromptSRC's regularisers."""
    heights = {"text_l1": 0.4, "image_l1": 0.3, "kl": 0.1}
    return {
        name: [height * (1 + draw.random() / (1 + epoch)) for epoch in range(epochs)]
        for name, height in heights.items()
    }


def _history(draw: random.Random, epochs: int, start: float) -> dict[str, list[float]]:
    losses = [start * (0.35 + 0.65 / (1 + 0.6 * e)) + 0.02 * draw.random() for e in range(epochs)]
    return {"classification": losses}
