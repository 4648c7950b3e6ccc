"""Made-up evaluated rows with the shape of a real run, for the tests of the report."""

import random
from typing import Any

SETS = {
    "icons-tabler": (64.4, 74.7, 69.2, 64.9),
    "icons-phosphor": (76.5, 79.3, 91.0, 77.2),
    "icons-remix": (80.6, 76.4, 82.8, 77.1),
    "icons-bootstrap": (73.1, 89.8, 83.9, 88.5),
    "icons-pooled": (62.9, 70.5, 66.0, 61.8),
    "folder-flowers": (71.3, 77.9, 93.1, 69.4),
}
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
        zero_base, zero_new, base, new = SETS[dataset]
        rows.append(_row(dataset, "zero_shot", None, zero_base, zero_new))
        for seed in seeds:
            draw = random.Random(f"{dataset}-{seed}")
            b, n = base + draw.gauss(0, 1.0), new + draw.gauss(0, 1.8)
            longer = b + budget_gain + draw.gauss(0, noise) if noise else b + budget_gain
            dpc = b + gain + draw.gauss(0, noise) if noise else b + gain
            rows.append(_row(dataset, "coop", seed, b, n, history=_history(draw, 10, 1.4)))
            row = _row(dataset, "coop", seed, longer, n - 1.1, history=_history(draw, 20, 1.4))
            rows.append(row | {"method": "coop+budget", "budget": True, "images_seen": 10400})
            rows.append(_dpc_row(dataset, seed, (b, n), dpc, draw))
    return rows


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
        "learned": {},
    } | more


def _dpc_row(
    dataset: str, seed: int, tuned: tuple[float, float], dpc: float, draw: random.Random
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
        "coop",
        seed,
        dpc,
        new,
        method="coop+dpc",
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
        history={"contrastive": _history(draw, 10, 2.1)["classification"]},
        images_seen=10240,
        pairs_per_step=23.1,
        steps=1400,
        learned={"context": [4, 192]},
    )


def _history(draw: random.Random, epochs: int, start: float) -> dict[str, list[float]]:
    losses = [start * (0.35 + 0.65 / (1 + 0.6 * e)) + 0.02 * draw.random() for e in range(epochs)]
    return {"classification": losses}
