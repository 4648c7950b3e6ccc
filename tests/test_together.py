"""Seeds that are trained in one forward pass: what each learns is what it learns alone."""

import copy
import dataclasses

import pytest
import torch
from golden_data import facts
from test_backbones_contract import PATHS, TEACHER_WIDTH, made
from toys import ImageBank

from dpc import artifacts
from dpc.backbones import fitting, resolve
from dpc.backbones.base import Teacher, make_task
from dpc.backbones.recipe import Recipe
from dpc.backbones.tuning import Tuning, tune, tune_together
from dpc.cli import main
from dpc.clip.views import Views
from dpc.collaboration.finetune import Pair, finetune, finetune_together
from dpc.collaboration.recipe import Finetuning
from dpc.errors import TrainingError
from dpc.params.load import checked, preset
from dpc.stages import plan, slice_files
from dpc.stages.cells import Draw, trained_together, trained_with
from dpc.stages.layout import Layout
from dpc.stages.runner import provenance_of, run
from dpc.stages.states import tensors
from dpc.store import Store

pytestmark = pytest.mark.slow  # whole stages and commands

NAMES = facts("coop")["classes"]
SEEDS = (1, 2, 5)
FIRST = Recipe(lr=0.01, epochs=2, batch=4, average=(0.7, 0.3))
SECOND = Finetuning(lr=0.01, epochs=2, batch=3, k=3)
LEARNING = [path for path in PATHS if path != "zero_shot"]


class Taught(ImageBank):
    """A bank with a teacher's features as well."""

    def views(self, indices, view):
        generator = torch.Generator().manual_seed(4)
        teacher = torch.randn(len(self.labels), TEACHER_WIDTH, generator=generator)
        return Views(*super().views(indices, view)[:2], teacher[indices])


def drawn(student, seed):
    """7 images of one draw, 2 views each."""
    generator = torch.Generator().manual_seed(seed)
    images = torch.randn(7, 2, 3, 32, 32, generator=generator)
    features = student.encode_image(images.flatten(0, 1)).reshape(7, 2, -1)
    return Taught(features, images, torch.arange(7) % 6)


@pytest.fixture(params=LEARNING)
def tunings(request, student):
    """Three trainings of one backbone before they begin."""
    kind = resolve(request.param)
    features = torch.randn(len(NAMES), TEACHER_WIDTH, generator=torch.Generator().manual_seed(3))
    teacher = Teacher(features, torch.tensor(30.0))
    found = []
    for seed in SEEDS:
        backbone = made(kind, student, torch.Generator().manual_seed(seed), teacher)
        given = teacher if backbone.needs_teacher else None
        task = make_task(student, backbone, NAMES, "a photo of a {}.", given)
        found.append(Tuning(task, backbone, drawn(student, seed), seed))
    return found


def near(state, other):
    assert state.keys() == other.keys()
    for name, value in other.items():
        # the bias in front of a BatchNorm has no gradient but rounding
        scale = max(1e-3, float(value.float().abs().max()))
        torch.testing.assert_close(
            state[name], value, rtol=0, atol=2e-4 * scale, msg=lambda text, n=name: f"{n}: {text}"
        )


def test_both_stages_are_those_of_each_alone(tunings):
    apart = [one._replace(backbone=copy.deepcopy(one.backbone)) for one in tunings]
    together = tune_together(tunings, FIRST)
    for one, alone, history in zip(tunings, apart, together, strict=True):
        expected = tune(alone.task, alone.backbone, alone.bank, FIRST, alone.seed)
        near(one.backbone.state_dict(), alone.backbone.state_dict())
        assert not one.backbone.training
        assert history.keys() == expected.keys()
        for name, values in expected.items():
            assert history[name] == pytest.approx(values, rel=1e-4)
    before = [copy.deepcopy(one.backbone.state_dict()) for one in apart]

    pairs = [Pair(one.task, one.backbone, one.bank, one.seed) for one in apart]
    for pair, state, (parallel, seen) in zip(
        pairs, before, finetune_together(pairs, SECOND), strict=True
    ):
        expected, statistics = finetune(pair.task, pair.tuned, pair.bank, SECOND, pair.seed)
        near(parallel.state_dict(), expected.state_dict())
        assert dataclasses.replace(seen, history={}) == dataclasses.replace(statistics, history={})
        assert seen.history.keys() == statistics.history.keys()
        assert all(torch.equal(pair.tuned.state_dict()[n], v) for n, v in state.items())


@pytest.mark.parametrize("tunings", ["promptkd"], indirect=True)
def test_an_interrupted_run_goes_on_to_the_same_bits(tunings):
    kept = []
    unbroken = [one._replace(backbone=copy.deepcopy(one.backbone)) for one in tunings]
    histories = tune_together(unbroken, FIRST, kept.append)
    assert tune_together(tunings, FIRST, resume=kept[0]) == histories
    for one, other in zip(tunings, unbroken, strict=True):
        for name, value in other.backbone.state_dict().items():
            assert torch.equal(one.backbone.state_dict()[name], value), name


@pytest.mark.parametrize("tunings", ["coop", "promptkd"], indirect=True)
def test_batches_that_are_made_ahead_change_nothing(tunings, monkeypatch):
    """As on a GPU, where another thread makes them."""
    monkeypatch.setattr(fitting, "_decodes_beside", lambda task: False)
    apart = [one._replace(backbone=copy.deepcopy(one.backbone)) for one in tunings]
    histories = tune_together(apart, FIRST)
    pairs = [Pair(one.task, one.backbone, one.bank, one.seed) for one in apart]
    expected = finetune_together(pairs, SECOND)
    monkeypatch.setattr(fitting, "_decodes_beside", lambda task: True)
    assert tune_together(tunings, FIRST) == histories
    pairs = [Pair(one.task, one.backbone, one.bank, one.seed) for one in tunings]
    for (one, seen), (other, statistics) in zip(
        finetune_together(pairs, SECOND), expected, strict=True
    ):
        assert seen == statistics
        for name, value in other.state_dict().items():
            assert torch.equal(one.state_dict()[name], value), name


@pytest.mark.parametrize("tunings", ["coop"], indirect=True)
def test_a_loss_that_is_not_finite_names_its_seed(tunings):
    tunings[1].bank.features = tunings[1].bank.features * float("nan")
    tunings[1].bank.images = tunings[1].bank.images * float("nan")
    with pytest.raises(TrainingError, match=r"loss 'seed2\.\w+' is nan in epoch 1, step 1"):
        tune_together(tunings, FIRST)


def params_with(**run_):
    overrides = [f"run.{key}={value}" for key, value in run_.items()]
    return checked(preset("smoke", overrides))


@pytest.mark.parametrize(
    ("seeds", "together", "chosen", "groups"),
    [
        ([1, 2, 3], 1, [1, 2, 3], [(1,), (2,), (3,)]),
        ([1, 2, 3], 2, [1, 2, 3], [(1, 2), (3,)]),
        ([1, 2, 3], 2, [2], [(1, 2)]),
        ([1, 2, 3], 5, [3], [(1, 2, 3)]),
        ([1, 2], 2, [7, 1], [(7,), (1, 2)]),
    ],
)
def test_groups_are_those_of_the_grid_whichever_seeds_are_asked_for(
    seeds, together, chosen, groups
):
    params = params_with(seeds=seeds, together=together)
    found = trained_together(params, [Draw(16, seed) for seed in chosen])
    assert [tuple(draw.seed for draw in group) for group in found] == groups


def jobs_of(stage, params, **chosen):
    selection = plan.Selection(datasets=["icons-bootstrap"], part="main", **chosen)
    return list(plan.jobs(stage, params, Layout(), selection))


def keys(params):
    """What identifies each training, by its seeds."""
    found = [job for stage in ("tune", "finetune") for job in jobs_of(stage, params)]
    return {
        (job.stage, *job.cell.get("seeds", [job.cell.get("seed")])): provenance_of(
            job, dict.fromkeys(job.inputs, "")
        )
        for job in found
    }


def test_a_group_is_one_result_whichever_number_made_it():
    """Seed 3 is alone in both of the first, and all three are together in both of the others."""
    one, two = (keys(params_with(seeds=[1, 2, 3], together=count)) for count in (1, 2))
    assert {key: one[key] == value for key, value in two.items() if key in one} == {
        ("tune", 3): True,
        ("finetune", 3): True,
    }
    assert keys(params_with(seeds=[1, 2, 3], together=3)) == keys(
        params_with(seeds=[1, 2, 3], together=4)
    )


def test_a_stage_reads_what_was_trained_in_the_group_of_now():
    """As its inputs are: P of another group is stale."""
    for stage, role in (("finetune", "tuned"), ("evaluate", "parallel")):
        read = {}
        for count in (1, 2):
            params = params_with(seeds=[1, 2], together=count)
            job = jobs_of(stage, params, seeds=[1])[-1]
            entry = next(one for name, one in job.inputs.items() if name.endswith(role))
            read[count] = entry.slice["params"].get("together")
        assert read == {1: None, 2: [1, 2]}, stage


def test_engines_see_that_groups_change():
    """A seed less moves the others to other groups, whose files are named as before."""
    before, after = (
        slice_files.all_slices(params_with(seeds=seeds, together=2))
        for seeds in ([1, 2, 3], [2, 3])
    )
    changed = {name for name in before if before[name] != after[name]}
    assert changed == {"tune.coop", "budget.coop", "finetune.coop", "report"}
    apart = (slice_files.all_slices(params_with(seeds=seeds)) for seeds in ([1, 2, 3], [2, 3]))
    before, after = apart
    assert {name for name in before if before[name] != after[name]} == {"report"}


def test_a_scratch_tree_has_the_shots_of_the_whole_group(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert trained_with(params_with(seeds=[1, 2, 3], together=2), [2]) == [1, 2]
    assert trained_with(params_with(seeds=[1, 2, 3], together=2), [9, 3]) == [9, 3]
    assert trained_with(params_with(), []) == []
    assert main(["params", "--preset", "smoke", "--out", "params.yaml"]) == 0
    made = []
    monkeypatch.setattr("dpc.stages.memory.run_within", lambda _, job: made.append(job) or True)
    assert main(["tune", "--backbone", "coop", "--seeds", "2", "run.together=2"]) == 0
    shots = [job.cell["seed"] for job in made if job.stage == "shots"]
    assert shots == [1, 2] and made[-1].cell["seeds"] == [1, 2]


@pytest.mark.slow
def test_a_cell_of_several_seeds_is_one_job_with_a_file_each(tmp_path, monkeypatch):
    """Its artefacts are near those of each seed alone, and have keys of their own."""
    monkeypatch.chdir(tmp_path)
    apart, joined = (params_with(seeds=[1, 2], together=count) for count in (1, 2))
    layout, store, states = Layout(tmp_path / "tree"), Store(tmp_path / "store"), []
    for params, seeds in ((apart, [1, 2]), (joined, [[1, 2]])):
        for stage in ("prepare", "features", "tune", "finetune"):
            jobs = list(plan.jobs(stage, params, layout, plan.Selection(part="main")))
            worked = [run(job, store) for job in jobs]
            if stage in ("tune", "finetune"):
                assert [one.cell.get("seeds", one.cell.get("seed")) for one in jobs] == seeds
                assert all(worked)
            else:
                assert all(worked) == (params is apart)
        cell = ("icons-bootstrap", "coop")
        draws = [Draw(params.run.shots[0], seed) for seed in (1, 2)]
        paths = [path(*cell, one) for one in draws for path in (layout.tuned, layout.parallel)]
        states.append([tensors(artifacts.read(path)) for path in paths])
    for alone, together in zip(*states, strict=True):
        near(together, alone)
    assert "tune icons-bootstrap coop 4 shots seeds 1, 2" in [
        job.title for job in plan.jobs("tune", joined, layout, plan.Selection(seeds=[2]))
    ]
    evaluated = list(plan.jobs("evaluate", joined, layout, plan.Selection(part="main")))
    assert all(run(job, store) for job in evaluated)
