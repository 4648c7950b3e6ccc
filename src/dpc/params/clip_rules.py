"""Whether a CLIP can take the prompts that the grid puts into it: seen before it is loaded."""

from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from typing import Any

from dpc.clip.anatomy import Anatomy, anatomy, check_text
from dpc.clip.spec import ClipSpec, check_spec, random_seed
from dpc.errors import DpcError
from dpc.params.backbones import traits
from dpc.params.sections import ClipParams, Params, TeacherParams

# A place in the file, and the block of a backbone as it stands there.
Blocks = Iterator[tuple[str, Mapping[str, Any]]]


def clip_problems(params: Params) -> list[str]:
    """One line for each thing that is wrong with ``clip``, or with a backbone on it."""
    found = _looked_into(params.clip, params)
    if isinstance(found, str):
        return [found]
    clip = f"clip.model {params.clip.model!r}"
    return [
        line
        for name in params.run.backbones
        if name in params.backbones
        for line in _misfits(
            params, name, f"run.backbones: {name!r}", _blocks(params, name), found, clip
        )
    ]


def teacher_problems(params: Params) -> list[str]:
    """The same of ``teacher``, whose backbone has a block."""
    found = _looked_into(params.teacher, params)
    if isinstance(found, str):
        for key in ("model", "pretrained"):
            found = found.replace(f"clip.{key}", f"teacher.{key}")
        return [found]
    name, clip = params.teacher.backbone, f"teacher.model {params.teacher.model!r}"
    blocks = _teacher_blocks(params)
    return _misfits(params, name, f"teacher.backbone: {name!r}", blocks, found, clip)


def _looked_into(chosen: ClipParams | TeacherParams, params: Params) -> Anatomy | str:
    """The anatomy of a CLIP, or what is wrong with it."""
    spec = ClipSpec(chosen.model, chosen.pretrained, params.clip.precision, params.clip.device)
    try:
        check_spec(spec)
        found = anatomy(spec)
        check_text(spec.model, found)
    except DpcError as problem:
        return str(problem)
    if found.tokenizer and random_seed(spec) is None and find_spec("transformers") is None:
        return (
            f"clip.model {spec.model!r} reads words with the tokenizer {found.tokenizer!r} of "
            "Hugging Face: pip install transformers sentencepiece"
        )
    return found


def _blocks(params: Params, name: str) -> Blocks:
    """A backbone's block, and the settings of its exceptions."""
    yield f"backbones.{name}", params.backbones[name]
    for title, exception in params.exceptions.items():
        if exception.backbone == name:
            yield f"exceptions.{title}.settings", exception.settings


def _teacher_blocks(params: Params) -> Blocks:
    """``teacher.settings``, and what they leave of the block and of the exceptions that apply
    where the teacher is tuned: on each dataset of the grid, with the first number of shots."""
    name, settings, run = params.teacher.backbone, params.teacher.settings, params.run
    yield "teacher.settings", settings
    lent = {f"backbones.{name}": params.backbones[name]} | {
        f"exceptions.{title}.settings": its.settings
        for title, its in params.exceptions.items()
        if its.backbone == name
        and not (its.datasets and set(its.datasets).isdisjoint(run.datasets))
        and not (its.shots and set(its.shots).isdisjoint(run.shots[:1]))
    }
    for place, block in lent.items():
        yield place, {key: value for key, value in block.items() if key not in settings}


def _misfits(
    params: Params, name: str, where: str, blocks: Blocks, found: Anatomy, clip: str
) -> list[str]:
    """Towers that the backbone ``name`` prompts and that take none, or not as deep.

    Args:
        where: the key that names the backbone.
        clip: the key that names the CLIP, and the CLIP.
    """
    prompted: Mapping[str, str] = traits(params, name)["prompted"]
    if "image" in prompted and found.image.refusal:
        known = [other for other in params.backbones if other != "zero_shot"]
        fit = [other for other in known if "image" not in traits(params, other)["prompted"]]
        others = f", or backbones that leave images alone ({', '.join(fit)})" if fit else ""
        return [
            f"{where} prompts the image tower, and that of {clip} takes no prompts: "
            f"{found.image.refusal}; take a CLIP with a ViT of open_clip's own (ViT-B-16){others}"
        ]
    lines = []
    for place, block in blocks:
        for depth in dict.fromkeys(prompted.values()):
            towers = [tower for tower, its in prompted.items() if its == depth]
            least = min(towers, key=lambda tower: getattr(found, tower).layers)
            layers = getattr(found, least).layers
            if block.get(depth, 1) > layers:
                lines.append(
                    f"{place}.{depth} is {block[depth]} and the {least} tower of {clip} has "
                    f"{layers} layers: take at most {layers}"
                )
    return lines
