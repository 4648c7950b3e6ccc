"""The model card of an export: Markdown, with the front matter that model hubs read."""

import json
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from dpc.clip.spec import EMBEDDED_MODELS, EMBEDDED_WEIGHTS
from dpc.evaluation.statistics import harmonic_mean
from dpc.params.protocols import BASE_TO_NEW, HALVED

Facts = Mapping[str, Any]
ONNX_SNIPPET = '''\
import json
import sys

import numpy as np
import onnxruntime
from PIL import Image

session = onnxruntime.InferenceSession("classifier.onnx")
about = session.get_modelmeta().custom_metadata_map
names, mean, std, size = (json.loads(about[key]) for key in ("classnames", "mean", "std", "size"))
resampling = Image.Resampling[about["interpolation"].upper()]


def prepare(path):
    """(3, size, size) float32: resized, the centre cropped, normalised."""
    image = Image.open(path).convert("RGB")
    short = min(image.size)
    sides = [int(size * side / short) for side in image.size]
    image = image.resize((size, size) if about["resize_mode"] == "squash" else sides, resampling)
    left, top = (round((side - size) / 2) for side in image.size)
    pixels = np.asarray(image.crop((left, top, left + size, top + size)), np.float32) / 255
    return ((pixels - np.float32(mean)) / np.float32(std)).transpose(2, 0, 1)


images = np.stack([prepare(path) for path in sys.argv[1:]])
(logits,) = session.run(["logits"], {"images": images})
for best in logits.argmax(axis=1):
    print(names[best])
'''
NPZ_SNIPPET = """\
import sys

import numpy as np

classes = np.load("classes.npz")
features = np.load(sys.argv[1])
features = features / np.linalg.norm(features, axis=1, keepdims=True)
logits = classes["logit_scale"] * features @ classes["embeddings"].T
print(*classes["classnames"][logits.argmax(axis=1)], sep="\\n")
"""
NPZ_SNIPPET_OF_TWO = """\
import sys

import numpy as np

classes = np.load("classes.npz")
found = []
for prompt, path in zip(("mixed.base", "mixed.new"), sys.argv[1:], strict=True):
    features = np.load(path)
    features = features / np.linalg.norm(features, axis=1, keepdims=True)
    own = classes["embeddings"][classes["class_prompts"] == prompt]
    found.append(classes["logit_scale"] * features @ own.T)
logits = np.concatenate(found, axis=1)
print(*classes["classnames"][logits.argmax(axis=1)], sep="\\n")
"""
READ_WITH = {
    "tuned": "the tuned prompt P",
    "mixed.base": "the mix of base classes, {omega_b:g} · P' + {rest_b:g} · P",
    "mixed.new": "the mix of new classes, {omega_n:g} · P' + {rest_n:g} · P",
}


def card(facts: Facts, row: Mapping[str, Any] | None, names: Sequence[str]) -> str:
    """The text of README.md.

    Args:
        facts: as in the files' metadata.
        row: of the table, or None.
        names: the files beside it.
    """
    sections = [
        _front_matter(facts),
        f"# {_title(facts)}\n\n{_summary(facts)}",
        "## Classes\n\n" + "\n\n".join(_classes(facts)),
        "## Accuracy\n\n" + _accuracy(facts, row),
        "## Files and use\n\n" + "\n\n".join(_use(facts, names)),
        "## How it was made\n\n" + _made(facts),
        "## Limits\n\n" + "\n".join(f"- {line}" for line in _limits(facts)),
        "## Licence\n\n" + _licence(facts),
    ]
    return "\n\n".join(sections) + "\n"


def accuracies(facts: Facts, row: Mapping[str, Any]) -> list[tuple[str, float, int, int]]:
    """(what, accuracy in percent, classes, test images) of the exported classes, out of a row.

    With another ω_b than the row's, what its curve says, and nothing that it does not say.
    """
    of_base = row.get("base", row.get("accuracy"))
    same = facts["omega_b"] == row["omega_b"]
    if not same:
        curve = {point["weight"]: point["test"] for point in row["curves"]["omega_b"]}
        of_base = curve.get(facts["omega_b"])
    if "accuracy" in row:
        found = [("all classes", of_base, row["classes"], row["n"])]
    else:
        joint = row.get("overall") is not None
        new = row["new"] if same or not joint else None
        both = row["classes_base"], row["classes_new"]
        found = [
            ("base classes", of_base, sum(both) if joint else both[0], row["n_base"]),
            ("new classes", new, sum(both) if joint else both[1], row["n_new"]),
        ]
        if joint and same:
            found.append(("all", row["overall"], sum(both), row["n_base"] + row["n_new"]))
    wanted = {"base": ("base classes",), "new": ("new classes",)}.get(facts["classes"])
    return [each for each in found if each[1] is not None and (not wanted or each[0] in wanted)]


def _front_matter(facts: Facts) -> str:
    tags = ["clip", "prompt-tuning", "dpc", facts["backbone"]]
    lines = [
        "license: mit" if _is_ours(facts) else "license: other",
        "library_name: dpc",
        "pipeline_tag: image-classification",
        f"tags: {json.dumps(tags, ensure_ascii=False)}",
        "metrics: [accuracy]",
    ]
    return "\n".join(["---", *lines, "---"])


def _title(facts: Facts) -> str:
    method = f"{facts['label']}{' + DPC' if facts['method'] == 'dpc' else ''}"
    return f"{method} on {facts['dataset']}"


def _summary(facts: Facts) -> str:
    clip = facts["clip"]
    weights = f"{clip['pretrained']}" + (f", SHA-256 {clip['sha256']}" if clip["sha256"] else "")
    shots = f"{facts['shots']}" if facts["shots"] else "all"
    kind = "base class" if facts["protocol"] in HALVED else "class"
    other = f" of {facts['source']}" if facts["source"] != facts["dataset"] else ""
    dpc = ""
    if facts["method"] == "dpc":
        dpc = (
            " Dual-Prompt Collaboration (DPC, CVPR 2025) keeps that prompt, P, for new classes, "
            "tunes a parallel copy P' on hard negatives, and mixes the two for base classes."
        )
    return (
        f"A classifier of {len(facts['classnames'])} classes: a frozen CLIP, and prompts that "
        f"{facts['label']} tuned on {shots} training images of each {kind}{other}.{dpc}\n\n"
        f"- CLIP: {clip['model']} ({weights})\n"
        f"- Data set: {facts['dataset']}, protocol {facts['protocol']}, seed {facts['seed']}"
    )


def _classes(facts: Facts) -> Iterator[str]:
    for prompt in dict.fromkeys(facts["class_prompts"]):
        pairs = zip(facts["classnames"], facts["class_prompts"], strict=True)
        names = ", ".join(name for name, read in pairs if read == prompt)
        listed = textwrap.fill(names, 100, break_long_words=False, break_on_hyphens=False)
        yield f"Read with {_read_with(facts, prompt)}:\n\n```\n{listed}\n```"


def _read_with(facts: Facts, prompt: str) -> str:
    if prompt == "tuned":
        return READ_WITH[prompt]
    base, new = facts["omega_b"], facts["omega_n"]
    return READ_WITH[prompt].format(omega_b=base, rest_b=1 - base, omega_n=new, rest_n=1 - new)


def _accuracy(facts: Facts, row: Mapping[str, Any] | None) -> str:
    found = accuracies(facts, row) if row is not None else []
    if not found:
        return "Not tested with these weights: `dpc evaluate` does."
    lines = [
        "| images of | accuracy (%) | names to choose from | test images |",
        "|---|---:|---:|---:|",
    ]
    lines += [f"| {what} | {value:.2f} | {c} | {n} |" for what, value, c, n in found]
    values = {what: value for what, value, _, _ in found}
    if {"base classes", "new classes"} <= set(values):
        both = harmonic_mean(values["base classes"], values["new classes"])
        lines.append(f"| H, harmonic mean | {both:.2f} | | |")
    return "\n".join(lines)


def _use(facts: Facts, names: Sequence[str]) -> Iterator[str]:
    prompts = list(dict.fromkeys(facts["class_prompts"]))
    if "classifier.onnx" in names:
        yield (
            "`classifier.onnx` is all in one, images in, logits out. With `pip install numpy "
            "onnxruntime pillow`, and names of image files as arguments:"
        )
        yield f"```python\n{ONNX_SNIPPET}```"
    if "classes.npz" in names:
        two = facts["image_prompts"] and len(prompts) > 1
        yield f"`classes.npz` holds the class embeddings. {_features(facts, two)}"
        yield f"```python\n{NPZ_SNIPPET_OF_TWO if two else NPZ_SNIPPET}```"
    if "prompts.safetensors" in names:
        held = ["`tuned.*`: P", *(["`parallel.*`: P'"] if facts["method"] == "dpc" else [])]
        held += [f"`{each}.*`: {_read_with(facts, each)}" for each in prompts if each != "tuned"]
        yield (
            f"`prompts.safetensors` holds every learned tensor ({'; '.join(held)}), "
            "`classes.safetensors` the class embeddings and the logit scale. What a file is about "
            "stands in its metadata, as JSON under `dpc`."
        )


def _features(facts: Facts, two: bool) -> str:
    """What the argument of the numpy snippet is."""
    width = facts["width"]
    if not facts["image_prompts"]:
        return (
            f"Its argument is a .npy file of image features (N, {width}) of this CLIP, from "
            "whatever program runs it:"
        )
    which = "Its arguments are two .npy files of" if two else "Its argument is a .npy file of"
    apart = (
        ", the first with the mix of base classes, the second with that of new ones" if two else ""
    )
    return (
        f"{which} image features (N, {width}) from the image tower with the prompts of "
        f"prompts.safetensors in it{apart}. Without a program that does this, use classifier.onnx:"
    )


def _made(facts: Facts) -> str:
    parallel = facts["made_of"].get("parallel")
    second = f"\n- P': artefact {parallel}" if parallel else ""
    return (
        f"```sh\n{facts['command']} --out FOLDER\n```\n\n"
        f"- parameters: SHA-256 {facts['params_sha256']}; they stand in the metadata\n"
        f"- few-shot draw: {facts['draw']}\n"
        f"- P: artefact {facts['made_of']['tuned']}{second}"
    )


def _limits(facts: Facts) -> Iterator[str]:
    yield "Every image gets one of these names, an image of anything else as well."
    if facts["shots"]:
        yield (
            f"{facts['shots']} labelled images of a class, drawn with seed {facts['seed']}: "
            "another draw gives other numbers, by points on a small set. The report of the "
            "experiment shows the spread over seeds."
        )
    if facts["classes"] == "all" and facts["protocol"] == BASE_TO_NEW:
        yield (
            "Base and new classes were tested apart, each half among its own names. Here all "
            "names compete, which is harder, and logits of tuned classes tend to be larger: the "
            "protocol `generalized` measures that."
        )
    if facts["transductive"]:
        yield (
            "Transductive: training saw unlabelled images of all classes, those called new "
            "included, so its accuracy cannot be compared with methods that did not."
        )
    if facts["imported"]:
        roles = {"tuned": "P", "parallel": "P'"}
        which = " and ".join(roles[role] for role in facts["imported"])
        yield (
            f"{which} came from a checkpoint of another program (`dpc import`): what it was tuned "
            "on is what its user says."
        )
    if facts["clip"]["precision"] != "fp32":
        yield (
            f"Tuned and tested in {facts['clip']['precision']}; classifier.onnx computes in fp32, "
            "so its logits differ a little."
        )


def _is_ours(facts: Facts) -> bool:
    clip = facts["clip"]
    return clip["model"] in EMBEDDED_MODELS and clip["pretrained"] == EMBEDDED_WEIGHTS


def _licence(facts: Facts) -> str:
    if _is_ours(facts):
        return (
            "MIT, as dpc and its embedded CLIP. The CLIP learned from drawings of icon families "
            "under Apache-2.0, MIT, ISC, CC BY 4.0 and OFL 1.1, of which none is in these files."
        )
    return (
        "All files follow from the weights of the CLIP above and classifier.onnx holds its image "
        "tower: the licence of those weights and the terms of the data set apply. dpc does not "
        "know them; look them up before you pass these files on, and write them above."
    )
