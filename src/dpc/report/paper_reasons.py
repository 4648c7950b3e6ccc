"""May this run stand beside the paper's table? Why not, and what to know where it may."""

from collections.abc import Mapping, Sequence
from typing import Any

from dpc.datasets.catalog import CATALOG
from dpc.params.import_rules import TEACHER
from dpc.report.paper_numbers import BACKBONES, DATASETS, SHOTS
from dpc.report.paper_recipe import PRESET, departures
from dpc.report.recipes import imported, stage_two
from dpc.report.words import listed

TABLE = "base-to-new"
UNKNOWN_TABLES = ("cross-dataset", "domain-generalization")
SEEDS = 3
OPENAI = "openai"
# open_clip has OpenAI's weights under both names of an architecture.
STUDENTS = ("ViT-B-16-quickgelu", "ViT-B-16")
TEACHERS = ("ViT-L-14-quickgelu", "ViT-L-14")
# Field of what a run says of its data set -> the same number in the catalog, its noun.
COUNTS = {
    "n_test": ("test", "test images"),
    "n_train": ("train", "training images"),
    "classes": ("classes", "classes"),
}


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


def foreign(names: Sequence[str], datasets: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """Data sets that bear a name of the paper's table, but are not known to be its -> why.

    Args:
        names: data sets of the run.
        datasets: what the run says of them, see `dpc.report.context.ReportContext`.
    """
    entries = {str(each["name"]): each for each in datasets}
    found = {}
    for name in DATASETS:
        published = entries.get(name, {}).get("published")
        if name not in names or published is True:
            continue
        if published is None:
            found[name] = "whether its images and split are the published ones is not recorded"
        else:
            found[name] = f"its images or split are not the published ones{_counts(entries[name])}"
    return found


def _counts(entry: Mapping[str, Any]) -> str:
    """`` (12 test images instead of 1,692)``; empty where all counts agree."""
    known, found = CATALOG[str(entry["name"])], []
    for field, (name, noun) in COUNTS.items():
        ours, theirs = entry.get(field), getattr(known, name)
        if ours is not None and theirs is not None and ours != theirs:
            found.append(f"{ours:,} {noun} instead of {theirs:,}")
    return f" ({', '.join(found)})" if found else ""


def notes(
    params: Mapping[str, Any], backbones: Sequence[str], datasets: Sequence[str]
) -> list[str]:
    """What does not forbid the comparison of these backbones and data sets, but belongs beside it.

    It composes a preset: ask only where a comparison holds.
    """
    seeds = _listed(params, "seeds")
    found = []
    if len(seeds) != SEEDS:
        found.append(f"{len(seeds)} seed{'s' if len(seeds) != 1 else ''} ran; the paper has 3.")
    cap = (params.get("data") or {}).get("unlabelled")
    if cap and "promptkd" in backbones:
        found.append(
            f"PromptKD saw at most {cap} unlabelled images of a class; the released code takes all."
        )
    if "imagenet" in datasets:
        found.append(
            "ImageNet's shots are another draw than the paper's: the released loader lists files "
            "in the order of the disk."
        )
    found += _given(params, backbones)
    return [*found, *_readings(params, backbones), _recipe(params, backbones, datasets)]


def _given(params: Mapping[str, Any], backbones: Sequence[str]) -> list[str]:
    """Whose prompts were tuned elsewhere: of their recipe this run knows nothing."""
    found = [
        f"{symbol} of {BACKBONES[backbone]}"
        for backbone in backbones
        for symbol, stage in (("P", "tuned"), ("P'", "parallel"))
        if imported(params, backbone, stage)
    ]
    if "promptkd" in backbones and imported(params, TEACHER, "tuned"):
        found.append("PromptKD's teacher")
    if not found:
        return []
    return [
        f"{listed(found)} {'was' if len(found) == 1 else 'were'} imported: tuned by a recipe that "
        "is not known here, and not compared."
    ]


def _readings(params: Mapping[str, Any], backbones: Sequence[str]) -> list[str]:
    """How the released code chooses and reads what it reports, where this run does not."""
    found = []
    if "promptkd" in backbones:
        found.append(
            "The released configurations of PromptKD and PromptKD + DPC keep the epoch that is "
            "best on the base test images; ours is the last epoch."
        )
    mixed = [each for each in backbones if stage_two(params, each).get("inference") == "mixed"]
    if mixed:
        whose = (
            "" if len(mixed) == len(backbones) else f" of {listed([BACKBONES[b] for b in mixed])}"
        )
        found.append(
            "The released code reads base classes with the parallel prompt P' alone; the rows with "
            f"DPC here{whose} read them with the mix, as the paper writes."
        )
    return found


def _recipe(params: Mapping[str, Any], backbones: Sequence[str], datasets: Sequence[str]) -> str:
    """Where the recipe is another than the preset's, or what is not known of the paper's."""
    changed = departures(params, backbones, datasets)
    if changed:
        return f"Departs from preset {PRESET}: {', '.join(changed)}. In brackets: the preset's."
    return (
        "The paper does not say which of the released recipes made its table; those of this run "
        "stand under “What ran”."
    )


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
