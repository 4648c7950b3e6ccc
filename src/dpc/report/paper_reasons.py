"""May this run stand beside the paper's table? Why not, and what to know where it may."""

from collections.abc import Mapping, Sequence
from typing import Any

from dpc.report.paper_numbers import BACKBONES, DATASETS

TABLE = "base-to-new"
UNKNOWN_TABLES = ("cross-dataset", "domain-generalization")
SHOTS = 16
SEEDS = 3
OPENAI = "openai"
# open_clip has OpenAI's weights under both names of an architecture.
STUDENTS = ("ViT-B-16-quickgelu", "ViT-B-16")
TEACHERS = ("ViT-L-14-quickgelu", "ViT-L-14")


def reasons(params: Mapping[str, Any]) -> list[str]:
    """Why no number of the paper stands beside ours; empty where a comparison holds.

    Args:
        params: the run's parameters as plain values; what is missing counts as not recorded.
    """
    found = [_protocol(params.get("protocol")), _clip(params.get("clip") or {}), *_run(params)]
    return [reason for reason in found if reason]


def left_out(params: Mapping[str, Any]) -> dict[str, str]:
    """Backbones that ran as the paper's did not -> why they are not compared."""
    teacher = params.get("teacher") or {}
    if "promptkd" not in _listed(params, "backbones"):
        return {}
    named = f"{teacher.get('backbone')} on {teacher.get('model')} ({teacher.get('pretrained')})"
    same = (
        teacher.get("backbone") == "promptsrc"
        and teacher.get("model") in TEACHERS
        and teacher.get("pretrained") == OPENAI
    )
    if same:
        return {}
    return {
        "promptkd": f"its teacher is {named}, the paper's is PromptSRC on OpenAI's ViT-L/14",
    }


def notes(params: Mapping[str, Any]) -> list[str]:
    """What does not forbid the comparison, but belongs beside it."""
    seeds, sets = _listed(params, "seeds"), _listed(params, "datasets")
    found = []
    if len(seeds) != SEEDS:
        found.append(f"{len(seeds)} seed{'s' if len(seeds) != 1 else ''} ran; the paper has 3.")
    cap = (params.get("data") or {}).get("unlabelled")
    if cap and "promptkd" in _listed(params, "backbones"):
        found.append(
            f"PromptKD saw at most {cap} unlabelled images of a class; the released code takes all."
        )
    if "imagenet" in sets:
        found.append(
            "ImageNet's shots are another draw than the paper's: the released loader lists files "
            "in the order of the disk."
        )
    found.append(
        "The paper does not say which of the released recipes made its table; those of this run "
        "stand under “What ran”."
    )
    return found


def _protocol(protocol: str | None) -> str:
    if protocol is None:
        return "the protocol of this run is not recorded"
    if protocol in UNKNOWN_TABLES:
        return f"the paper's {protocol} tables are not known here"
    if protocol != TABLE:
        return f"the protocol is {protocol}, and the paper's table is {TABLE}"
    return ""


def _clip(clip: Mapping[str, Any]) -> str:
    model, weights = clip.get("model"), clip.get("pretrained")
    if model in STUDENTS and weights == OPENAI:
        return ""
    if model is None:
        return "the CLIP of this run is not recorded"
    return f"the CLIP is {model} ({weights}), and the paper's is OpenAI's ViT-B/16"


def _run(params: Mapping[str, Any]) -> list[str]:
    found = []
    if not set(_listed(params, "datasets")) & set(DATASETS):
        found.append(f"none of the paper's {len(DATASETS)} data sets is in the run")
    if not set(_listed(params, "backbones")) & set(BACKBONES):
        found.append("none of the paper's backbones is in the run")
    shots = _listed(params, "shots")
    if list(shots) != [SHOTS]:
        said = f"shots are {', '.join(map(str, shots))}" if shots else "shots are not recorded"
        found.append(f"{said}, and the paper's are {SHOTS}")
    return found


def _listed(params: Mapping[str, Any], key: str) -> Sequence[Any]:
    return (params.get("run") or {}).get(key) or ()
