"""`dpc import`: prompts out of checkpoints of the released code."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from dpc.errors import DpcError

if TYPE_CHECKING:
    from dpc.backbones.base import Backbone
    from dpc.params.sections import Params

DESCRIPTION = """\
Take the prompts out of a checkpoint of CoOp, MaPLe, PromptSRC, PromptKD or of DPC itself
(Dassl's model.pth.tar-N, or the folder of it: the last epoch), check them against params.yaml and
write them where a grid finds them. Nothing that the file pickles is run.
"""
EPILOG = """\
  dpc import output/seed1 --dataset dtd --seed 1
  dpc import model.pth.tar-20 --dataset dtd --seed 1 --stage parallel

Then say it in params.yaml, as the command tells: the tuned prompt is that file's, DPC goes on from
there, and `dpc evaluate` tests it.
"""


def add_parser(
    commands: "argparse._SubParsersAction[argparse.ArgumentParser]", common: argparse.ArgumentParser
) -> None:
    """Add the command to the subcommands of `dpc`."""
    command = commands.add_parser(
        "import",
        parents=[common],
        help="prompts that the released code tuned, for evaluation here or DPC on top",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.add_argument("file", type=Path, metavar="FILE", help="the checkpoint, or its folder")
    command.add_argument(
        "--backbone",
        help="whose prompts: a name of params.yaml, or teacher (default: the file tells)",
    )
    command.add_argument("--dataset", required=True, help="the dataset that they were tuned on")
    command.add_argument("--seed", type=int, required=True, help="the seed of their shots")
    command.add_argument("--shots", type=int, default=16, help="of each class (default: 16)")
    command.add_argument(
        "--stage",
        choices=("tuned", "parallel"),
        default="tuned",
        help="P of a backbone, or P' of DPC (default: tuned)",
    )
    command.add_argument(
        "--stored",
        choices=("parallel", "mixed"),
        default="parallel",
        help="what DPC's file holds: P' itself, as the released code really runs, or the mix that "
        "its comments mean, taken apart with --tuned and --weight (default: parallel)",
    )
    command.add_argument("--tuned", type=Path, metavar="FILE", help="the checkpoint of P")
    command.add_argument("--weight", type=float, help="ω_b of the mix, above 0 and at most 1")
    command.add_argument(
        "--out", type=Path, help="default: imported/BACKBONE/DATASET-shots16-seed1.safetensors"
    )
    command.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> None:
    from dpc import artifacts
    from dpc.exchange.importing import artifact_of, fit, read_foreign
    from dpc.exchange.layouts import layouts
    from dpc.files import write_atomically
    from dpc.params.load import load, require_dataset
    from dpc.stages.cells import Draw
    from dpc.stages.imported import STAGES, TEACHER, block_of, cell_of, put_in, standard_place

    _check(options)
    params, draw = load(options.params), Draw(options.shots, options.seed)
    require_dataset(params, options.dataset)
    params = params.at(options.dataset, draw.shots)
    known = layouts(params.backbones)
    for_teacher = options.backbone == TEACHER
    asked = params.teacher.backbone if for_teacher else options.backbone
    found = read_foreign(options.file, known, asked)
    name = TEACHER if for_teacher else found.backbone
    if found.backbone not in params.backbones:
        raise DpcError(
            f"{options.file} holds prompts of {found.backbone} and {options.params} has no block "
            f"backbones.{found.backbone}; `dpc params` prints one to copy"
        )
    print(f"{found.checkpoint.path}: {found.backbone}, {_said(found.checkpoint.epoch)}")
    mixed_with = None
    if options.tuned is not None:
        owner = params.teacher.backbone if found.names.from_teacher else found.backbone
        mixed_with = read_foreign(options.tuned, known, owner)
    made = artifact_of(
        found, cell_of(options.stage, options.dataset, name, draw), mixed_with, options.weight
    )
    expected = expected_backbone(params, name).state_dict()
    lent = found.names.from_teacher if options.stage == "tuned" else None
    if lent is not None:
        expected = {
            key: value
            for key, value in expected.items()
            if key in found.tensors or not key.startswith(lent)
        }
    _, block, key = block_of(params, name)
    fit(found.tensors, expected, found.names, block, str(found.checkpoint.path), key)
    places = {stage: standard_place(stage, name) for stage in STAGES}
    path = options.out or put_in(places[options.stage], options.dataset, draw)
    if options.out is not None:
        places[options.stage] = str(options.out)
    if options.stage == "tuned":
        del places["parallel"]
    write_atomically(path, artifacts.encode(made))
    print(f"wrote {path}; in params.yaml:")
    said = ", ".join(f"{stage}: '{place}'" for stage, place in places.items())
    print(f"  imported: {{{name}: {{{said}}}}}")


def expected_backbone(params: "Params", name: str) -> "Backbone":
    """A backbone, or the teacher, as the parameters size it; a student's teacher is one that has
    only widths."""
    import torch

    from dpc.backbones.base import Teacher
    from dpc.params.backbones import traits
    from dpc.stages.frozen import clip_for, teacher_clip_for
    from dpc.stages.imported import TEACHER
    from dpc.stages.states import new_backbone, new_teacher

    if name == TEACHER:
        return new_teacher(params, teacher_clip_for(params), 0)
    teacher = None
    if traits(params, name)["needs_teacher"]:
        clip = teacher_clip_for(params)
        prompts = tuple(new_teacher(params, clip, 0).prompts().text)
        teacher = Teacher(torch.zeros(1, clip.embed_dim), clip.logit_scale, prompts)
    return new_backbone(params, name, clip_for(params), 0, teacher)


def _check(options: argparse.Namespace) -> None:
    """Refuse options that do not go together, with one line."""
    mixed = options.stored == "mixed"
    if mixed and (options.stage != "parallel" or options.tuned is None or options.weight is None):
        raise DpcError("--stored mixed needs --stage parallel, --tuned FILE_OF_P and --weight ω_b")
    if not mixed and (options.tuned is not None or options.weight is not None):
        raise DpcError("--tuned and --weight take a mix apart: they go with --stored mixed")
    if mixed and not 0 < options.weight <= 1:
        raise DpcError(f"--weight is {options.weight}; above 0 and at most 1 is expected")
    if options.shots < 0 or options.seed < 0:
        raise DpcError("--shots and --seed are numbers from 0 on")


def _said(epoch: int | None) -> str:
    return "epoch not recorded" if epoch is None else f"epoch {epoch}"
