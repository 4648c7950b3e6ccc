"""What the doctor says of CLIP, machine and grid before anything runs."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from doctor_trees import params_for

from dpc.clip.spec import ClipSpec
from dpc.doctor import clip, machine, sizes
from dpc.doctor.findings import Counts
from dpc.doctor.grid import Grid
from dpc.icons import benchmark
from dpc.params.data import Imported
from dpc.stages import slices
from dpc.stages.layout import Layout
from dpc.stages.plan import Selection, jobs

pytestmark = pytest.mark.slow

PHOTOS = Counts(classes=10, train=200, val=40, test=100)


def grid_of(params, free=None, counts=PHOTOS):
    known = {name: sizes.of_counts(counts) for name in params.tested}
    own = clip.shape(slices.clip_spec(params), "cpu")
    students = slices.students(params)
    teacher = clip.shape(slices.teacher_clip_spec(params), "cpu") if students else None
    return Grid(params, known, own, teacher, free)


@pytest.mark.parametrize("protocol", ["base-to-new", "generalized"])
def test_cells_are_those_that_the_stages_have(protocol):
    given = ["run.backbones=[coop,promptkd]", "run.ablations=[coop]", f"protocol={protocol}"]
    params = params_for(Path("data"), "icons-bootstrap", "icons-remix", overrides=given)
    counted = grid_of(params).cells()
    for stage, number in counted.items():
        listed = list(jobs(stage, params, Layout(), Selection()))
        # The teacher's features are work of its own, and one cell with its tuning.
        assert number == (len(listed) // 2 if stage == "teacher" else len(listed)), stage


def test_cells_of_a_transfer_and_of_several_numbers_of_shots():
    transfer = [
        "protocol=cross-dataset",
        "run.datasets=[icons-tabler]",
        "run.targets=[icons-remix,icons-fluent]",
    ]
    for overrides in (transfer, ["protocol=few-shot", "run.shots=[1,2,4]"]):
        params = params_for(Path("data"), overrides=overrides)
        for stage, number in grid_of(params).cells().items():
            assert number == len(list(jobs(stage, params, Layout(), Selection()))), stage


def test_icons_are_counted_by_their_names_as_they_are_cut():
    built = benchmark.build("icons-remix")
    counted = sizes.of_icons("icons-remix", 20)
    assert counted.classnames == built.classnames
    assert sum(counted.train) + sum(counted.val) + sum(counted.test) == len(built.images)


def test_a_published_size_is_spread_over_the_classes():
    size = sizes.of_counts(Counts(7, 700, None, 70))
    assert (size.train, size.val, size.test) == ((100,) * 7, (0,) * 7, (10,) * 7)
    assert size.assumed
    assert (size.tuned(halved=True), size.tuned(halved=False)) == (4, 7)
    assert sizes.drawn((3, 20, 30), 16) == 35
    assert sizes.drawn((3, 20, 30), 0) == 53


def test_a_grid_takes_more_of_everything_the_larger_it_is():
    params = params_for(Path("data"), overrides=["run.backbones=[coop,maple]"])
    small = grid_of(params).report()
    large = grid_of(params, counts=Counts(40, 2000, 400, 1000)).report()
    for stage in ("features", "tune", "finetune", "evaluate"):
        assert 0 < small.seconds[stage] < large.seconds[stage], stage
    assert 0 < small.disk < large.disk
    assert 0 < small.memory < large.memory
    assert "maple" in large.largest
    assert small.assumed == ("icons-bootstrap",)
    assert small.problems == ()


def test_seeds_and_shots_multiply_time():
    one = params_for(Path("data"), overrides=["run.seeds=[1]"])
    three = replace(one, run=replace(one.run, seeds=[1, 2, 3]))
    assert grid_of(three).report().seconds["tune"] == pytest.approx(
        3 * grid_of(one).report().seconds["tune"]
    )


def test_the_teacher_counts_where_a_backbone_learns_from_one():
    params = params_for(Path("data"), overrides=["run.backbones=[promptkd]", "run.budget=[]"])
    report = grid_of(params).report()
    assert report.cells["teacher"] == 1
    assert report.seconds["teacher"] > 0
    assert report.weights > grid_of(params_for(Path("data"))).report().weights


def test_what_cannot_fit_is_one_problem_a_kind_of_training():
    overrides = [
        "run.backbones=[maple]",
        "run.budget=[]",
        "run.datasets=[icons-tabler,icons-remix]",
    ]
    params = params_for(Path("data"), overrides=overrides)
    report = grid_of(params, free=100_000).report()
    assert [problem.where for problem in report.problems] == ["grid", "grid"]
    assert "tune icons-tabler maple" in report.problems[0].what
    assert "are free" in report.problems[1].what


def test_sentences_that_are_too_long_for_the_clip_are_a_problem():
    long = "backbones.coop.init=" + " ".join(["a"] * 40)
    params = params_for(Path("data"), overrides=["run.budget=[]", long])
    (problem,) = grid_of(params).report().problems
    assert "coop" in problem.what
    assert "tokens and this CLIP reads 32" in problem.what


def test_imported_prompts_cost_no_steps_and_their_rows_as_much_as_others():
    overrides = ["run.backbones=[promptsrc]", "run.budget=[]"]
    params = params_for(Path("data"), overrides=overrides)
    files = Imported("{dataset}-{seed}", "{dataset}-{seed}-parallel")
    here, given = grid_of(params), grid_of(replace(params, imported={"promptsrc": files}), free=1)
    trained, imported = here.report(), given.report()
    assert (imported.seconds["tune"], imported.seconds["finetune"]) == (0, 0)
    assert (imported.memory, imported.largest, imported.problems) == (0, "", ())
    assert 0.2 < imported.seconds["evaluate"] / trained.seconds["evaluate"] < 5  # two timings
    assert imported.disk == trained.disk


def test_sentences_that_are_too_long_are_a_problem_of_imported_prompts_too():
    long = "backbones.coop.init=" + " ".join(["a"] * 40)
    params = params_for(Path("data"), overrides=["run.budget=[]", long])
    params = replace(params, imported={"coop": Imported("{dataset}", "{dataset}-parallel")})
    (problem,) = grid_of(params).report().problems
    assert "tokens and this CLIP reads 32" in problem.what


def test_embedded_and_random_weights_and_files(tmp_path):
    assert clip.examine(ClipSpec(), "clip").weights == "embedded"
    assert clip.examine(ClipSpec("ViT-B-32", "random:1"), "clip").weights == "random"
    path = tmp_path / "own.safetensors"
    path.write_bytes(b"1234")
    found = clip.examine(ClipSpec("ViT-B-16-gelu", str(path)), "clip")
    assert (found.weights, found.place, found.bytes) == ("file", str(path), 4)


def test_a_tag_is_looked_for_in_the_cache_and_never_downloaded(monkeypatch, tmp_path):
    import huggingface_hub

    asked = []
    file = tmp_path / "open_clip_model.safetensors"
    file.write_bytes(b"12345")

    def nothing(repository, name):
        asked.append((repository, name))

    monkeypatch.setattr(huggingface_hub, "try_to_load_from_cache", nothing)
    spec = ClipSpec("ViT-B-16", "laion2b_s34b_b88k")
    found = clip.examine(spec, "clip")
    assert (found.weights, found.bytes, found.problems) == ("download", None, ())
    assert found.place == "huggingface.co/laion/CLIP-ViT-B-16-laion2B-s34B-b88K"
    assert [name for _, name in asked] == [file.name, "open_clip_pytorch_model.bin"]
    monkeypatch.setattr(huggingface_hub, "try_to_load_from_cache", lambda *_: str(file))
    found = clip.examine(spec, "clip")
    assert (found.weights, found.place, found.bytes) == ("cache", str(file), 5)


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        (ClipSpec("ViT-B-16", "nobodys"), "laion2b_s34b_b88k"),
        (ClipSpec("ViT-B-16", "nowhere.safetensors"), "no such file"),
        (ClipSpec("ViT-B-17", "random:1"), "near it"),
        (ClipSpec("ViT-B-16", "dfn2b"), "ViT-B-16-quickgelu"),
    ],
)
def test_a_clip_that_cannot_be_used(spec, words):
    found = clip.examine(spec, "teacher")
    assert found.weights is None
    (problem,) = found.problems
    assert problem.where == "teacher"
    assert words in problem.what


def test_shapes_need_no_weights():
    made = clip.shape(ClipSpec("ViT-B-32", "openai"), "cpu")
    assert (made.text_width, made.image_width, made.image_layers) == (512, 768, 12)


def test_an_image_tower_that_is_no_vit_takes_text_prompts_alone():
    overrides = ["clip.model=RN50", "clip.pretrained=random:1"]
    report = grid_of(params_for(Path("data"), overrides=overrides)).report()
    assert report.problems == ()
    assert report.seconds["tune"] > 0
    assert report.seconds["features"] > 0


def test_the_machine(tmp_path):
    params = params_for(Path("data"))
    found = machine.examine(params, tmp_path / "results", tmp_path / "not/yet")
    assert found.device == ("cuda" if torch.cuda.is_available() else "cpu")
    assert found.processors >= 1
    assert set(found.disks) == {"results", "cache"}
    assert all(free > 0 for free in found.disks.values())
    assert found.problems == ()


def test_a_gpu_that_is_asked_for_and_not_there(monkeypatch, tmp_path):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    params = params_for(Path("data"), overrides=["clip.device=cuda"])
    (problem,) = machine.examine(params, tmp_path, tmp_path).problems
    assert "clip.device" in problem.what
    assert problem.where == "machine"


def test_a_folder_that_cannot_be_written_to(monkeypatch, tmp_path):
    monkeypatch.setattr("dpc.doctor.machine.os.access", lambda *_: False)
    problems = machine.examine(params_for(Path("data")), tmp_path, tmp_path).problems
    assert [problem.where for problem in problems] == ["disk", "disk"]
    assert "cannot be written to" in problems[0].what
