"""Feature channels: profiles and their agreement against the slow formulas, nulls that are nulls,
and every backbone's row."""

import copy
import json

import numpy as np
import pytest
import torch
from golden_data import facts
from scipy import stats

from dpc.artifacts import Artifact
from dpc.backbones import resolve
from dpc.backbones.base import Teacher
from dpc.evaluation import channels
from dpc.evaluation.channels import agreement, compare, profile
from dpc.stages import channels as stage
from dpc.stages import readings
from dpc.stages.models import Models

NAMES = facts("coop")["classes"]
PATHS = ["coop", "maple", "promptsrc", "promptkd", "toys:Toy", "toys:Projected"]


@pytest.fixture()
def few_draws(monkeypatch):
    """Nulls of fewer draws: their formula is the same."""
    monkeypatch.setattr(channels, "PERMUTATIONS", 100)
    monkeypatch.setattr(channels, "STEPS", 40)
    channels._orders.cache_clear()
    yield
    channels._orders.cache_clear()


def random(seed, *shape):
    return np.random.default_rng(seed).normal(size=shape)


def test_a_profile_is_the_mean_size_of_a_channel():
    assert profile(np.array([[1.0, -2.0, 0.0], [3.0, 2.0, -1.0]])).tolist() == [2.0, 2.0, 0.5]


def test_agreement_of_tiny_profiles_in_closed_form(monkeypatch):
    monkeypatch.setattr(channels, "TOP", (1, 2, 3))
    found = agreement(np.array([[0.0, 1.0, 2.0]]), np.array([[0.0, 2.0, 1.0]]))
    assert found == pytest.approx({"pearson": 0.5, "spearman": 0.5, "top1": 0.0, "top2": 1.0})
    layers = agreement(np.array([[0, 1, 2], [0, 1, 2.0]]), np.array([[0, 2, 1], [0, 1, 2.0]]))
    assert layers == pytest.approx({"pearson": 0.75, "spearman": 0.75, "top1": 0.5, "top2": 1.0})
    flat = agreement(np.full((1, 3), 0.1), np.array([[0.0, 2.0, 1.0]]))
    assert (flat["pearson"], flat["spearman"]) == (0.0, 0.0)


def test_agreement_is_scipys_with_ties_as_well():
    for seed in range(20):
        one, other = (np.abs(random(seed + part, 90)).round(1) for part in (0, 1000))
        found = agreement(one[None], other[None])
        assert found["pearson"] == pytest.approx(stats.pearsonr(one, other)[0])
        assert found["spearman"] == pytest.approx(stats.spearmanr(one, other)[0])
    one, other = random(1, 90), random(2, 90)
    found = agreement(one[None], other[None])
    for size in channels.TOP:
        largest = [set(np.argsort(-each)[:size].tolist()) for each in (one, other)]
        assert found[f"top{size}"] == len(largest[0] & largest[1]) / size


def test_both_nulls_against_the_slow_loop(few_draws):
    before, after = [[random(seed, 3, 40) for seed in seeds] for seeds in ((1, 2), (3, 4))]
    found = compare(before, after)
    generator = np.random.default_rng(channels.SEED)
    rows = np.tile(np.arange(40), (channels.PERMUTATIONS, 1))
    orders = generator.permuted(rows, axis=1)

    def of(changed):
        both = ([profile(each) for each in side] for side in (before, changed))
        return agreement(*map(np.stack, both))

    seen = of(after)
    permuted = [of([b[:, order] for b in after]) for order in orders]
    pairs = list(zip(before, after, strict=True))
    stepped = [of([a + (b - a)[:, o] for a, b in pairs]) for o in orders[: channels.STEPS]]
    assert set(found["statistics"]) == set(seen) == {"pearson", "spearman", "top16", "top32"}
    for name, given in found["statistics"].items():
        assert given["value"] == pytest.approx(seen[name], abs=1e-4)
        for null, draws in (("permuted", permuted), ("step", stepped)):
            values = np.array([draw[name] for draw in draws])
            p = (1 + (values >= seen[name] - 1e-9).sum()) / (1 + len(values))
            expected = {"mean": values.mean(), "high": np.quantile(values, 0.95), "p": p}
            if null == "step":
                expected["low"] = np.quantile(values, 0.05)
            assert given[null] == pytest.approx(expected, abs=1e-4)
    moved = np.sqrt(sum(((b - a) ** 2).sum() for a, b in pairs))
    assert found["step"] == pytest.approx(
        moved / np.sqrt(sum((a**2).sum() for a in before)), abs=1e-4
    )


def test_channels_in_any_order_are_what_the_nulls_expect(few_draws):
    """p of unrelated prompts is uniform; k of d channels share k²/d; a step in any order is one of
    the steps."""
    values, steps, tops, expected = [], [], [], []
    for seed in range(60):
        before, other = random(seed, 4, 80), random(seed + 5000, 4, 80)
        found = compare([before], [other])["statistics"]
        values.append(found["pearson"]["permuted"]["p"])
        tops.append(found["top16"]["value"] * 16)
        expected.append(found["top16"]["permuted"]["mean"] * 16)
        after = before + 0.3 * random(seed + 9000, 4, 80)
        steps.append(compare([before], [after])["statistics"]["pearson"]["step"]["p"])
    assert np.mean(tops) == pytest.approx(16**2 / 80, abs=0.5)
    assert np.mean(expected) == pytest.approx(16**2 / 80, abs=0.1)
    for found in (values, steps):
        assert stats.kstest(found, "uniform").pvalue > 0.01


def test_what_agrees_or_avoids_its_own_channels_is_found():
    before = np.abs(random(1, 4, 100)) * np.linspace(0.1, 2, 100)
    kept = compare([before], [1.3 * before])["statistics"]["pearson"]
    assert kept["value"] == 1.0
    assert kept["permuted"]["p"] == pytest.approx(1 / 1001, abs=1e-4)
    assert kept["step"]["p"] == pytest.approx(1 / 201, abs=1e-4)
    against = compare([before], [before + 1.5 * before[:, ::-1]])["statistics"]["pearson"]
    assert against["value"] < against["step"]["low"]
    still = compare([before], [before])
    assert (still["step"], still["statistics"]["pearson"]["step"]["p"]) == (0.0, 1.0)
    assert compare([0 * before], [before])["step"] is None


def made(path, clip, teacher):
    kind = resolve(path)
    fields = kind.Params.__dataclass_fields__
    given = kind.Params(**{name: 3 for name in fields if name.endswith("depth")})
    generator = torch.Generator().manual_seed(5)
    if kind.needs_teacher:
        return kind.from_teacher(clip, teacher, given, generator).eval()
    return kind.from_clip(clip, given, generator).eval()


@pytest.mark.parametrize("path", PATHS)
@torch.no_grad()
def test_every_backbone_is_measured_where_p_has_a_parallel(path, student, few_draws, monkeypatch):
    teacher = Teacher(random_tensor(len(NAMES), 48), torch.tensor(30.0))
    tuned = made(path, student, teacher)
    parallel = copy.deepcopy(tuned)
    for name in parallel.parallel_parameters():
        value = parallel.get_parameter(name)
        value.add_(0.3 * random_tensor(*value.shape) * value.abs().mean())
    inputs = {"tuned": Artifact({}, {}, {}), "test": Artifact({}, {"classnames": NAMES}, {})}
    models = Models(student, tuned, parallel, inputs, "a photo of a {}.", None)
    monkeypatch.setattr("dpc.stages.models.teacher_of", lambda *_: teacher)
    monkeypatch.setattr(stage, "teacher_of", lambda *_: teacher)
    monkeypatch.setattr(stage, "new_backbone", lambda *_: copy.deepcopy(tuned))
    tested = readings.Tested(omega_b={0.0: 60.0, 1.2: 58.0})
    start = stage.start_of(None, path, student, inputs, 1)
    stage.add_channels(tested, models, range(4), start)
    found = tested.fields["channels"]
    assert tested.omega_b == {0.0: 60.0}
    assert found["beyond"] == [{"weight": 1.2, "test": 58.0}]
    names = stage.prompts_of(tuned)
    assert sorted(name for own in names.values() for name in own) == sorted(
        tuned.parallel_parameters()
    )
    reads_text = not torch.equal(models.mix(0.0, range(4))[1], models.mix(1.0, range(4))[1])
    assert set(found["groups"]) == {*names, *(["text_features"] if reads_text else [])}
    assert reads_text == (path != "promptkd")
    for group, own in names.items():
        assert found["groups"][group]["layers"] == len(own)
        assert found["groups"][group]["start"]["pearson"] == 1.0
        profiles = tested.arrays[f"{group}.profiles"]
        for side, backbone in enumerate((tuned, parallel)):
            for layer, name in enumerate(own):
                expected = backbone.get_parameter(name).abs().mean(dim=0).numpy()
                np.testing.assert_allclose(profiles[side, layer], expected, rtol=1e-5)
        assert (
            found["groups"][group]["statistics"]
            == compare(*[[b.get_parameter(n).numpy() for n in own] for b in (tuned, parallel)])[
                "statistics"
            ]
        )
    assert len(json.dumps(found)) < 6000
    elsewhere = {"tuned": Artifact({}, {"imported": {}}, {})}
    assert stage.start_of(None, path, student, elsewhere, 1) is None
    unknown, _ = stage.measured(models, range(4), None)
    assert all(each["start"] is None for each in unknown.values())


@torch.no_grad()
def test_the_line_ends_at_p_and_p_prime_and_goes_on_straight(student):
    tuned = made("coop", student, None)
    parallel = copy.deepcopy(tuned)
    parallel.context.add_(0.3 * random_tensor(*parallel.context.shape))
    features, labels = random(6, 60, student.embed_dim).astype("float32"), np.arange(60) % 6
    test = Artifact({"test.features": features, "test.labels": labels}, {"classnames": NAMES}, {})
    shots = Artifact({"val.labels": labels[:8] % 4, "val.features": features[:8]}, {}, {})
    inputs = {"test": test, "shots": shots}

    def models(tuned, parallel):
        return Models(student, tuned, parallel, inputs, "a photo of a {}.", None)

    def base(tuned, parallel=None, sweep=()):
        reading = readings.Reading(6, 4, True, 0.0, 0.0, sweep=sweep)
        return readings.run_test("base-to-new", models(tuned, parallel), reading)

    tested = base(tuned, parallel, (0.0, 1.0, *stage.BEYOND))
    assert list(tested.val) == [0.0, 1.0]  # none may be chosen that is not a share
    beyond = copy.deepcopy(tuned)
    beyond.context.copy_(tuned.context + 1.2 * (parallel.context - tuned.context))
    ends = [base(each).fields["base"] for each in (tuned, parallel, beyond)]
    assert list(tested.omega_b.values()) == ends
    assert len(set(ends)) == 3
    away, own = (
        models(*each).scores("test", range(4), [w])[w]
        for each, w in (((tuned, parallel), 1.2), ((beyond, None), 0.0))
    )
    torch.testing.assert_close(away, own, rtol=1e-4, atol=1e-4)


def random_tensor(*shape):
    return torch.from_numpy(random(sum(shape), *shape)).float()
