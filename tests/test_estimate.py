"""Estimates of memory and time, the refusal of what does not fit, and what the machine has."""

import dataclasses
import re

import pytest
import torch
from golden_data import facts
from toys import Projected, Toy

from dpc.backbones.base import make_task
from dpc.backbones.coop import CoOp, CoOpParams
from dpc.backbones.recipe import Recipe
from dpc.clip.model import Clip
from dpc.clip.views import Views
from dpc.collaboration.recipe import Finetuning
from dpc.errors import DpcError
from dpc.stages.activations import image_tower, text_tower
from dpc.stages.advice import describe, refuse
from dpc.stages.estimate import estimate, finetuning, sentence_tokens, together, tuning
from dpc.stages.machine import available_memory, matmul_rate

NAMES = facts("coop")["classes"]
RATE = 1e9


def in_bf16(clip):
    return Clip(clip.model, clip.tokenizer, clip.mean, clip.std, precision="bf16")


def kept(clip, run):
    """Bytes that the graph of ``run()`` holds beside the weights."""
    weights = {value.untyped_storage().data_ptr() for value in clip.model.state_dict().values()}
    found = {}

    def pack(tensor):
        storage = tensor.untyped_storage()
        found[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        result = run()
    assert result.requires_grad
    return sum(size for place, size in found.items() if place not in weights)


@pytest.fixture()
def toy(student, generator):
    return Toy.from_clip(student, None, generator)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_what_the_image_tower_keeps(student, toy, precision):
    clip = student if precision == "fp32" else in_bf16(student)
    images = torch.zeros(8, 3, clip.image_size, clip.image_size)
    held = kept(clip, lambda: toy.image_features(clip, Views(images=images)))
    tower = image_tower(clip, toy.prompts().image, precision == "bf16")
    assert 0.8 < (8 * tower.each + tower.fixed) / held < 1.25


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("shortcuts", [True, False])
def test_what_the_text_tower_keeps(student, slow_student, toy, precision, shortcuts):
    clip = student if shortcuts else slow_student
    clip = clip if precision == "fp32" else in_bf16(clip)
    clip.shortcuts = shortcuts
    task = make_task(clip, toy, NAMES * 4, "a photo of a {}.")
    held = kept(clip, lambda: toy.text_features(task))
    tower = text_tower(clip, toy.prompts().text, sentence_tokens(task), precision == "bf16")
    assert 0.75 < (4 * len(NAMES) * tower.each + tower.fixed) / held < 1.33


def test_a_step_of_two_towers_costs_their_products(student, toy):
    """2 operations a weight and token forward, as many backward, and attention."""
    tower = image_tower(student, toy.prompts().image, bf16=False)
    width, layers = student.image_width, student.image_layers
    patches = student.model.visual.positional_embedding.shape[0]
    tokens = patches + 2
    assert tower.flops == 2 * layers * (2 * 12 * width**2 * tokens + 4 * tokens**2 * width)
    plan = estimate(student, toy, [], 3, 0, 8, 5, "t", epochs=2, batch=3, rate=RATE)
    assert plan.seconds == pytest.approx(10 * (1.2 * 3 * tower.flops / RATE + 1e-3 * layers))


def test_the_plan_of_stage_one(student, toy):
    task = make_task(student, toy, NAMES, "a photo of a {}.")
    plan = tuning("tune x y", task, toy, 22, Recipe(epochs=3, batch=4), "backbones.y.batch")
    assert (plan.images, plan.classes, plan.steps, plan.epochs) == (4, 6, 5, 3)
    assert {value.name for value in plan.learned if value.trained} == {
        name for name, _ in toy.named_parameters()
    }
    assert plan.state == 12 * sum(value.numel() for value in toy.parameters())
    assert plan.memory_of(8) > plan.memory
    assert plan.memory_of(4096) > plan.leaner.memory_of(4096)  # copied weights are made up for
    text = describe(plan)
    assert text.splitlines()[0] == "tune x y"
    assert "3 epochs of 5 steps" in text
    assert "a step: 4 images, 6 sentences of up to 15 tokens" in text
    assert re.search(r"text\.0 +128  2 × 64\n", text)
    assert "memory: about " in text and "time: about 1 s" in text


def test_the_plan_of_a_backbone_that_leaves_images_frozen(student, generator):
    coop = CoOp.from_clip(student, CoOpParams(), generator)
    task = make_task(student, coop, NAMES, "a photo of a {}.")
    plan = tuning("t", task, coop, 3, Recipe(batch=32), "backbones.coop.batch")
    assert (plan.images, plan.steps, plan.batch) == (0, 1, 3)
    assert plan.memory_of(1) == plan.memory
    assert "frozen image features" in describe(plan)


def test_the_plan_of_stage_two_counts_negatives(student, toy, generator):
    task = make_task(student, toy, NAMES, "a photo of a {}.")
    plan = finetuning("t", task, toy, 24, Finetuning(batch=2, k=2, epochs=7), "dpc.batch")
    assert (plan.images, plan.classes, plan.steps, plan.epochs) == (4, 4, 12, 7)
    assert plan.classes_follow
    many = finetuning("t", task, toy, 24, Finetuning(batch=4, k=8), "dpc.batch")
    assert (many.images, many.classes, many.classes_follow) == (24, 6, False)
    plain = Finetuning(batch=4, objective="cross_entropy")
    assert finetuning("t", task, toy, 24, plain, "dpc.batch").images == 4
    projected = Projected.from_clip(student, None, generator)
    task = make_task(student, projected, NAMES, "a photo of a {}.")
    for couplings, trained in (("frozen", {"context"}), ("trained", None)):
        plan = finetuning("t", task, projected, 24, Finetuning(couplings=couplings), "dpc.batch")
        names = {value.name for value in plan.learned}
        assert {value.name for value in plan.learned if value.trained} == (trained or names)
        assert ("carried along" in describe(plan)) == (couplings == "frozen")


def big(student, toy, **changes):
    task = make_task(student, toy, NAMES, "a photo of a {}.")
    plan = tuning("tune x y", task, toy, 64, Recipe(batch=64), "backbones.y.batch")
    return dataclasses.replace(plan, **changes)


def test_what_fits_is_not_refused(student, toy):
    plan = big(student, toy)
    refuse(plan, plan.memory)
    refuse(plan, None)


def test_a_smaller_batch_is_named_and_fits(student, toy):
    plan = big(student, toy)
    for share in (0.99, 0.7, 0.5):
        free = int(share * plan.memory)
        with pytest.raises(DpcError, match=r"take backbones\.y\.batch=(\d+)$") as caught:
            refuse(plan, free)
        batch = int(str(caught.value).rpartition("=")[2])
        assert plan.memory_of(batch) <= free < plan.memory_of(batch + 1)
        assert "\n" not in str(caught.value)
        assert str(caught.value).startswith("tune x y: a step takes about ")
        # The same estimate, made anew with that value, is accepted.
        task = make_task(student, toy, NAMES, "a photo of a {}.")
        refuse(tuning("t", task, toy, 64, Recipe(batch=batch), "backbones.y.batch"), free)


def test_bf16_is_named_where_the_sentences_alone_do_not_fit(student, toy):
    plan = big(student, toy, images=0, classes=5000, batch=4)
    plan = dataclasses.replace(
        plan, leaner=dataclasses.replace(plan.leaner, images=0, classes=5000)
    )
    free = (plan.memory + plan.leaner.memory) // 2
    with pytest.raises(DpcError, match=r"; take clip\.precision=bf16$"):
        refuse(plan, free)
    refuse(plan.leaner, free)
    with pytest.raises(DpcError, match="nothing smaller fits: take a smaller clip"):
        refuse(plan, plan.leaner.memory // 2)
    refuse(plan.leaner, plan.leaner.memory)


def test_seeds_together_take_as_much_as_all_of_them_and_may_be_trained_apart(student, toy):
    task = make_task(student, toy, NAMES, "a photo of a {}.")
    alone = tuning("t", task, toy, 64, Recipe(batch=16), "backbones.y.batch")
    three = together(alone, 3)
    kept = alone.memory - alone.memory_of(0)
    assert three.memory > alone.memory + 1.9 * kept
    assert (three.images, three.classes, three.steps) == (48, 3 * alone.classes, alone.steps)
    assert together(alone, 1) is alone
    with pytest.raises(DpcError, match=r"; take run\.together=1$"):
        refuse(three, alone.memory)
    with pytest.raises(DpcError, match=r"; take run\.together=1 and backbones\.y\.batch=\d+$"):
        refuse(three, (alone.memory + alone.memory_of(0)) // 2)


def test_bf16_has_nothing_leaner(student, toy):
    clip = in_bf16(student)
    task = make_task(clip, toy, NAMES, "a photo of a {}.")
    plan = tuning("t", task, toy, 64, Recipe(batch=64), "b")
    assert plan.leaner is None
    with pytest.raises(DpcError, match="nothing smaller fits"):
        refuse(plan, 1000)


def test_the_rate_is_that_of_the_precision(student):
    assert matmul_rate(student, 64) > 1e7
    assert matmul_rate(in_bf16(student), 64) > 1e6


def test_memory_is_what_system_and_control_group_leave(tmp_path):
    cpu = torch.device("cpu")
    assert available_memory(cpu, tmp_path) is None
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/meminfo").write_text("MemTotal: 9 kB\nMemAvailable:      5000 kB\n")
    assert available_memory(cpu, tmp_path) == 5000 * 1024
    group = tmp_path / "sys/fs/cgroup"
    group.mkdir(parents=True)
    (group / "memory.max").write_text("max\n")
    assert available_memory(cpu, tmp_path) == 5000 * 1024
    (group / "memory.max").write_text("3000000\n")
    (group / "memory.current").write_text("2000000\n")
    (group / "memory.stat").write_text("anon 1500000\ninactive_file 400000\n")
    assert available_memory(cpu, tmp_path) == 1_400_000
    (group / "memory.current").write_text("9000000\n")
    assert available_memory(cpu, tmp_path) == 0
    assert available_memory(cpu) is None or available_memory(cpu) > 0
