"""How the released code of each backbone names the tensors of its checkpoints, and how we do.

A new backbone joins by an entry of ``LAYOUTS``; one from outside by a ``Names`` that is called
``ELSEWHERE`` in the module of its class.
"""

import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from torch import Tensor

from dpc.backbones import BACKBONES, resolve
from dpc.errors import DpcError
from dpc.exchange.checkpoint import some

Renamed = str | Callable[[re.Match[str]], str]
# What a checkpoint holds beside prompts: the frozen CLIP, and embeddings of class names.
FROZEN = re.compile(
    r"(?!.*VPT)((prompt_learner\.)?(image_encoder|text_encoder|ZS_image_encoder)\..+"
    r"|(prompt_learner\.)?token_(prefix|suffix)|logit_scale)"
)
DEEP = r"(text|image)_encoder\.transformer\.resblocks\.(\d+)\.VPT_shallow"


@dataclass(frozen=True)
class Names:
    """The names of one backbone's tensors in checkpoints of its released code.

    Attributes:
        learned: pairs (pattern of the whole official name, ours: a template of ``Match.expand`` or
            a function of the match).
        needed: ours, that every file has; they tell this backbone from the others.
        settings: what the file's tensors, by our names, say of the backbone's block.
        contexts: ours, that are (n, width) prompts of the text tower's input.
        mixed: ours, that released DPC means to store as a mix with P.
        from_teacher: prefix of ours that stage one does not learn and takes from its teacher.
    """

    learned: tuple[tuple[str, Renamed], ...]
    needed: frozenset[str]
    settings: Callable[[Mapping[str, Tensor]], dict[str, Any]]
    contexts: tuple[str, ...] = ()
    mixed: tuple[str, ...] = ()
    from_teacher: str | None = None

    def ours(self, official: str) -> str | None:
        """Our name of a tensor; None: no tensor of this backbone is called so."""
        for pattern, renamed in self.learned:
            if match := re.fullmatch(pattern, official):
                return renamed(match) if callable(renamed) else match.expand(renamed)
        return None


class Sorted(NamedTuple):
    """A checkpoint's names: ours -> official of one backbone, and those that it cannot place."""

    learned: dict[str, str]
    unknown: list[str]


def _coupling(match: re.Match[str]) -> str:
    """The released list of couplings begins with the one of layer 1."""
    return f"couplings.{int(match[1]) + 1}.{match[2]}"


def _layers(found: Mapping[str, Tensor], prefix: str) -> int:
    """Number of prompted layers; names are ``prefix.layer`` with or without more behind it."""
    return len({name.split(".")[1] for name in found if name.startswith(f"{prefix}.")})


def _coop(found: Mapping[str, Tensor]) -> dict[str, Any]:
    return {"init": None, "length": len(found["context"])}


def _maple(found: Mapping[str, Tensor]) -> dict[str, Any]:
    return {"length": len(found["context"]), "depth": _layers(found, "couplings")}


def _promptsrc(found: Mapping[str, Tensor]) -> dict[str, Any]:
    depths = {f"{tower}_depth": _layers(found, tower) for tower in ("text", "image")}
    return {"length": len(found["text.0"])} | depths


def _promptkd(found: Mapping[str, Tensor]) -> dict[str, Any]:
    dual = {"dual": "text"} if _layers(found, "text") else {}
    return {"length": len(found["image.0"]), "depth": _layers(found, "image")} | dual


LAYOUTS = {
    "coop": Names(
        learned=((r"prompt_learner\.ctx", "context"),),
        needed=frozenset({"context"}),
        settings=_coop,
        contexts=("context",),
        mixed=("context",),
    ),
    "maple": Names(
        learned=(
            (r"prompt_learner\.ctx", "context"),
            (r"prompt_learner\.compound_prompts_text\.(\d+)", r"deep.\1"),
            (r"prompt_learner\.proj\.(weight|bias)", r"couplings.0.\1"),
            (r"prompt_learner\.compound_prompt_projections\.(\d+)\.(weight|bias)", _coupling),
        ),
        needed=frozenset({"context", "couplings.0.weight"}),
        settings=_maple,
        contexts=("context",),
    ),
    "promptsrc": Names(
        learned=(
            (r"prompt_learner\.ctx", "text.0"),
            (r"image_encoder\.VPT", "image.0"),
            (DEEP, r"\1.\2"),
        ),
        needed=frozenset({"text.0", "image.0"}),
        settings=_promptsrc,
        contexts=("text.0",),
    ),
    "promptkd": Names(
        learned=(
            (r"image_encoder\.VPT", "image.0"),
            (r"image_encoder\.transformer\.resblocks\.(\d+)\.VPT_shallow", r"image.\1"),
            (
                r"VPT_image_trans\.conv1\.([013])\."
                r"(weight|bias|running_mean|running_var|num_batches_tracked)",
                r"projector.\1.\2",
            ),
            # released DPC brings the teacher's text prompts into the student's file
            (r"prompt_learner\.ctx", "text.0"),
            (rf"prompt_learner\.{DEEP}", r"\1.\2"),
        ),
        needed=frozenset({"image.0", "projector.0.weight"}),
        settings=_promptkd,
        contexts=("text.0",),
        mixed=("text.0",),
        from_teacher="text.",
    ),
}


def layouts(blocks: Mapping[str, Any]) -> dict[str, Names]:
    """The layout of each backbone that has one, those from outside among them.

    Args:
        blocks: ``backbones`` of the parameters.
    """
    found = dict(LAYOUTS)
    for name, block in blocks.items():
        if name not in BACKBONES:
            names = getattr(sys.modules[resolve(name, block).__module__], "ELSEWHERE", None)
            if names is not None:
                found[name] = names
    return found


def layout_named(known: Mapping[str, Names], backbone: str) -> Names:
    """The layout of a backbone.

    Raises:
        DpcError: it has none.
    """
    if backbone not in known:
        raise DpcError(
            f"no checkpoint layout of backbone {backbone!r} is known (known: {', '.join(known)}); "
            "one of your own says ELSEWHERE in its module (docs/exchange.md)"
        )
    return known[backbone]


def plain_names(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """``state`` without the marks of DataParallel; of a prompt learner that was saved alone, with
    the name that it has inside the model."""
    bare = {re.sub(r"(?<![^.])module\.", "", name): value for name, value in state.items()}
    inside = ("prompt_learner.", "image_encoder.", "VPT_image_trans.")
    alone = not any(name.startswith(inside) for name in bare)
    return {f"prompt_learner.{n}": v for n, v in bare.items()} if alone else bare


def sort_names(names: Names, state: Mapping[str, Tensor]) -> Sorted:
    """Which of a checkpoint's tensors are which of a backbone's."""
    found: dict[str, str] = {}
    unknown = []
    for official in state:
        ours = names.ours(official)
        if ours is not None:
            found[ours] = official
        elif not FROZEN.fullmatch(official):
            unknown.append(official)
    return Sorted(found, unknown)


def layout_of(
    known: Mapping[str, Names], state: Mapping[str, Tensor], place: str, backbone: str | None
) -> tuple[str, Names]:
    """The backbone whose layout a checkpoint has, and that layout.

    Args:
        known: by backbone.
        state: the checkpoint's tensors, by plain names.
        place: the file, for what is wrong with it.
        backbone: the only one that is asked for; None: whichever fits.

    Raises:
        DpcError: none fits, or several do, or none is known of ``backbone``.
    """
    asked = known if backbone is None else {backbone: layout_named(known, backbone)}
    found = {name: sort_names(names, state) for name, names in asked.items()}
    fitting = [
        name
        for name, names in asked.items()
        if names.needed <= set(found[name].learned) and not found[name].unknown
    ]
    if len(fitting) == 1:
        return fitting[0], known[fitting[0]]
    learned = [name for name in state if not FROZEN.fullmatch(name)]
    # names that nobody knows come first: they are what is wrong
    learned.sort(key=lambda name: any(name not in each.unknown for each in found.values()))
    if fitting:
        raise DpcError(
            f"{place} holds {some(learned)}: prompts of {' or '.join(fitting)}; "
            "say which with --backbone"
        )
    held = some(learned) or "no prompts"
    expected = "; ".join(f"{name}: {_patterns(names)}" for name, names in asked.items())
    raise DpcError(f"{place} holds {held}; expected is {expected}")


def _patterns(names: Names) -> str:
    """The official names in a form for people: ``prompt_learner.proj.*``."""
    plain = [re.sub(r"\([^)]*\)|\[[^]]*\]", "*", p).replace("\\", "") for p, _ in names.learned]
    return ", ".join(plain)
