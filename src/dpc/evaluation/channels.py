"""Which channels of a prompt are large, and how far two prompts agree on it; numpy alone.

A channel's place in a profile is its mean |value| over tokens (or classes). Weighting-Decoupling
mixes two prompts elementwise because, as DPC's paper has it, tuning changes the size of channels
and hardly which of them matter: the profiles of P and P' should agree. Two nulls say what an
agreement is worth:

- permuted: P' with its channels in another order, the same in all layers;
- step: P moved by P' − P with the channels of that step in another order. Any small step leaves
  most of a profile as it was; what goes beyond this null is more than the step's shortness.
"""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import numpy as np

TOP = (16, 32, 64)  # sizes of the sets of largest channels that are compared
PERMUTATIONS = 1000
STEPS = 200  # of them moved as steps: each is a prompt of its own to take the profile of
SEED = 20250313
ROOM = 1e-9  # two numbers of one formula that differ by rounding alone are equal
DIGITS = 4

Agreement = dict[str, np.ndarray]


def profile(values: np.ndarray) -> np.ndarray:
    """Mean |value| (d,) of each channel of (n, d) tokens or classes."""
    return np.abs(np.asarray(values, np.float64)).mean(axis=0)


def agreement(one: np.ndarray, other: np.ndarray) -> dict[str, float]:
    """How far two sets of profiles (L, d) agree: each layer alone, then the mean over layers.

    Returns:
        ``pearson`` and ``spearman`` correlation over the channels (0 where a profile is flat), and
        ``top16``, …: the share of the largest channels of one that are among those of the other,
        for each size below d.
    """
    found = _mean([_agree(_ranked(a), _ranked(b)) for a, b in zip(one, other, strict=True)])
    return {name: float(value) for name, value in found.items()}


def compare(before: Sequence[np.ndarray], after: Sequence[np.ndarray]) -> dict[str, Any]:
    """Agreement of two prompts with both nulls, rounded.

    Args:
        before, after: P and P', an (n, d) tensor a layer, of one width.

    Returns:
        ``layers``, ``width``; ``step``, the length of P' − P as a share of P's (None: P is 0);
        ``by_layer``, the Pearson correlation of each; and ``statistics``, by the names of
        `agreement`, with ``value``, ``permuted`` (``mean``, ``high``: its 95 % quantile,
        ``p``: the share of draws that agree at least as well) and ``step`` (the same, and ``low``:
        its 5 % quantile).
    """
    pairs = [
        (np.asarray(a, np.float64), np.asarray(b, np.float64))
        for a, b in zip(before, after, strict=True)
    ]
    width = pairs[0][0].shape[1]
    orders = _orders(width)
    layers = [_agree(_ranked(profile(a)), _ranked(profile(b))) for a, b in pairs]
    seen = _mean(layers)
    permuted = _mean([_permuted(a, b, orders) for a, b in pairs])
    stepped = _mean([_stepped(a, b, orders[:STEPS]) for a, b in pairs])
    size, moved = (
        float(np.sqrt(sum((each**2).sum() for each in group)))
        for group in ([a for a, _ in pairs], [b - a for a, b in pairs])
    )
    return {
        "layers": len(pairs),
        "width": width,
        "step": round(moved / size, DIGITS) if size > 0 else None,
        "by_layer": [round(float(each["pearson"]), DIGITS) for each in layers],
        "statistics": {
            name: {
                "value": round(float(value), DIGITS),
                "permuted": _null(float(value), permuted[name]),
                "step": _null(float(value), stepped[name], both=True),
            }
            for name, value in seen.items()
        },
    }


@lru_cache(maxsize=4)
def _orders(width: int) -> np.ndarray:
    """Permutations of the channels (PERMUTATIONS, d), the same in every call."""
    generator = np.random.default_rng(SEED)
    return generator.permuted(np.tile(np.arange(width), (PERMUTATIONS, 1)), axis=1)


def _permuted(before: np.ndarray, after: np.ndarray, orders: np.ndarray) -> Agreement:
    # sizes and ranks move with their channels: they are found once
    sizes, ranks, places = _ranked(profile(after))
    return _agree(_ranked(profile(before)), (sizes[orders], ranks[orders], places[orders]))


def _stepped(before: np.ndarray, after: np.ndarray, orders: np.ndarray) -> Agreement:
    step = after - before
    moved = np.stack([profile(before + step[:, order]) for order in orders])
    return _agree(_ranked(profile(before)), _ranked(moved))


def _null(value: float, draws: np.ndarray, both: bool = False) -> dict[str, float]:
    reached = int((draws >= value - ROOM).sum())
    found = {
        "mean": float(draws.mean()),
        "high": float(np.quantile(draws, 0.95)),
        "p": (1 + reached) / (1 + len(draws)),
    }
    found |= {"low": float(np.quantile(draws, 0.05))} if both else {}
    return {name: round(number, DIGITS) for name, number in found.items()}


Ranked = tuple[np.ndarray, np.ndarray, np.ndarray]


def _ranked(profiles: np.ndarray) -> Ranked:
    """Of profiles (…, d): sizes and ranks (equals share the mean), each as `_unit`, and
    places in the order of size, which are all different."""
    order = np.argsort(profiles, axis=-1, kind="stable")
    width = profiles.shape[-1]
    ordered = np.take_along_axis(profiles, order, axis=-1)
    line = np.broadcast_to(np.arange(width), order.shape)
    new = np.concatenate(
        [np.ones_like(ordered[..., :1], bool), ordered[..., 1:] != ordered[..., :-1]], axis=-1
    )
    last = np.concatenate([new[..., 1:], np.ones_like(new[..., :1])], axis=-1)
    first_of = np.maximum.accumulate(np.where(new, line, 0), axis=-1)
    last_of = np.flip(
        np.minimum.accumulate(np.flip(np.where(last, line, width), axis=-1), axis=-1), axis=-1
    )
    ranks, places = np.empty(order.shape), np.empty(order.shape, np.int64)
    np.put_along_axis(ranks, order, (first_of + last_of) / 2, axis=-1)
    np.put_along_axis(places, order, line, axis=-1)
    return _unit(profiles), _unit(ranks), places


def _agree(one: Ranked, others: Ranked) -> Agreement:
    """Agreement of one profile (d,) with others (…, d), by name (…)."""
    width = one[0].shape[-1]
    found = {"pearson": others[0] @ one[0], "spearman": others[1] @ one[1]}
    for size in TOP:
        if size < width:  # the d largest of d channels always agree
            largest = np.flatnonzero(one[2] >= width - size)
            found[f"top{size}"] = (others[2][..., largest] >= width - size).mean(axis=-1)
    return found


def _unit(values: np.ndarray) -> np.ndarray:
    """Values (…, d), none below 0, less their mean and of length 1: their products are
    correlations. Equal values have none and become 0."""
    mean = values.mean(axis=-1, keepdims=True)
    apart = values - mean
    length = np.linalg.norm(apart, axis=-1, keepdims=True)
    flat = length <= ROOM * mean * values.shape[-1]
    return np.divide(apart, length, out=np.zeros_like(apart), where=~flat)


def _mean(layers: Sequence[Mapping[str, np.ndarray]]) -> Agreement:
    return {name: np.mean([layer[name] for layer in layers], axis=0) for name in layers[0]}
