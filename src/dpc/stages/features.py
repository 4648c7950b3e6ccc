"""`dpc features`: frozen CLIP features of the test images, and of each seed's training views."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from dpc import artifacts
from dpc.artifacts import Artifact
from dpc.datasets.base import Item, Manifest
from dpc.datasets.fewshot import draw as few_shot
from dpc.datasets.fewshot import halves, subset
from dpc.errors import DpcError
from dpc.files import digest
from dpc.params.load import require_dataset
from dpc.params.sections import Params
from dpc.stages import slices
from dpc.stages.cells import Draw
from dpc.stages.inputs import manifest_input
from dpc.stages.layout import Layout
from dpc.stages.runner import Job, Made, device_of

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

    from dpc.clip.model import Clip
    from dpc.stages.pictures import Pictures


def test_job(params: Params, layout: Layout, dataset: str) -> Job:
    """Features of the test images of all classes, and what the table says of the set."""
    require_dataset(params, dataset)

    def make(inputs: Mapping[str, Artifact], key: str) -> Made:
        from dpc.stages.frozen import clip_for

        manifest = Manifest.from_json(inputs["manifest"].results)
        _warn_of_unknown_words(params, manifest)
        items = manifest.splits["test"]
        encoder = Encoder(params, layout, dataset, clip_for(params), f"{dataset}: test images")
        tensors: dict[str, np.ndarray] = {
            "test.features": encoder.plain(items),
            "test.labels": labels_of(items),
            "test.items": packed(items),
        }
        results = {
            "classnames": list(manifest.classnames),
            "base": len(halves(manifest.splits["train"]).base),
            "rule": manifest.rule,
            "published": manifest.published,
            "template": manifest.template,
            "train_images": len(manifest.splits["train"]),
            "test_images": len(manifest.splits["test"]),
        }
        return {"test.safetensors": Artifact(tensors, results)}

    return Job(
        "features",
        {"dataset": dataset, "part": "test"},
        slices.features(params),
        {"manifest": manifest_input(params, layout, dataset)},
        {"test.safetensors": layout.test_features(dataset)},
        make,
        device_of(params),
    )


def shots_job(params: Params, layout: Layout, dataset: str, draw: Draw) -> Job:
    """Features of the few-shot views and validation shots of the classes that are tuned on."""
    require_dataset(params, dataset)
    data = params.data

    def make(inputs: Mapping[str, Artifact], key: str) -> Made:
        from dpc.stages.frozen import clip_for

        manifest = Manifest.from_json(inputs["manifest"].results)
        splits = manifest.splits
        if not splits["train"]:
            raise DpcError(
                f"dataset {dataset} has test images only, nothing can be tuned on it; move it from "
                "run.datasets to run.targets"
            )
        drawn = few_shot(splits["train"], splits["val"], draw.shots, data.val_shots, draw.seed)
        classes = tuned_classes(params, manifest)
        train, val = subset(drawn.train, classes), subset(drawn.val, classes)
        what = f"{dataset} {draw.title}: training views"
        encoder = Encoder(params, layout, dataset, clip_for(params), what)
        tensors = {
            "train.items": packed(train),
            "train.features": encoder.views(train, data.views.count),
            "train.labels": labels_of(train),
            "val.items": packed(val),
            "val.features": encoder.plain(val),
            "val.labels": labels_of(val),
        }
        if slices.pool_of_all(params):
            held_out = {item.image for item in drawn.val}  # of a dataset without a val split
            pool = [item for item in splits["train"] if item.image not in held_out]
            pool = list(subset(pool, classes))
            tensors["pool.items"] = packed(pool)
            tensors["pool.features"] = encoder.views(pool, data.views.count)
            tensors["pool.labels"] = labels_of(pool)
        results = {
            "classnames": [manifest.classnames[label] for label in classes],
            "train_images": len(train),
            "draw": digest(artifacts.canonical([list(item) for item in drawn.train])),
        }
        return {"shots.safetensors": Artifact(tensors, results)}

    return Job(
        "shots",
        {"dataset": dataset, "shots": draw.shots, "seed": draw.seed},
        slices.shots(params),
        {"manifest": manifest_input(params, layout, dataset)},
        {"shots.safetensors": layout.shots(dataset, draw)},
        make,
        device_of(params),
    )


def tuned_classes(params: Params, manifest: Manifest) -> tuple[int, ...]:
    """Labels that prompts are tuned on: the base classes, or all where a protocol has no halves."""
    if params.halved:
        return halves(manifest.splits["train"]).base
    return tuple(range(len(manifest.classnames)))


def _warn_of_unknown_words(params: Params, manifest: Manifest) -> None:
    """The embedded CLIP learned few words: a class whose name it never saw means nothing to it."""
    from dpc.clip.sentences import sentence
    from dpc.progress import LOG
    from dpc.stages.frozen import clip_for

    unknown = clip_for(params).unknown_words([sentence("{}", n) for n in manifest.classnames])
    if unknown:
        LOG.warning(
            "%s: this CLIP never learned %s; text features of such classes mean nothing",
            manifest.dataset,
            ", ".join(repr(word) for word in unknown),
        )


class Encoder:
    """Features of one dataset's images by a frozen CLIP, in large batches."""

    def __init__(self, params: Params, layout: Layout, dataset: str, clip: "Clip", what: str):
        self._params, self._layout, self._dataset = params, layout, dataset
        self._clip, self._what = clip, what

    def plain(self, items: Sequence[Item]) -> "np.ndarray":
        """Features (N, d) of the images as a test sees them."""
        with self._pictures() as pictures:
            return self._encode(len(items), pictures.plain_batches(items))

    def views(self, items: Sequence[Item], count: int) -> "np.ndarray":
        """Features (N, count, d) of that many augmented views of each image."""
        with self._pictures() as pictures:
            features = self._encode(len(items) * count, pictures.view_batches(items, count))
        return features.reshape(len(items), count, self._clip.embed_dim)

    def _pictures(self) -> "Pictures":
        from dpc.stages.pictures import Pictures

        return Pictures(self._params, self._layout, self._dataset, self._clip)

    def _encode(self, total: int, batches: Iterator["Tensor"]) -> "np.ndarray":
        import numpy as np

        from dpc.clip.features import encode_images
        from dpc.progress import track

        if total == 0:
            return np.zeros((0, self._clip.embed_dim), np.float32)
        followed = track(batches, self._what, total, "images", size=len)
        return encode_images(self._clip, followed).numpy()


def packed(items: Sequence[Item]) -> "np.ndarray":
    """(bytes,) uint8: which image each row of a part's tensors is about, as JSON; `items_of`
    reads it. A tensor, so that it counts for those alone who read the part."""
    import numpy as np

    text = artifacts.canonical([list(item) for item in items])
    return np.frombuffer(text.encode(), dtype=np.uint8)


def items_of(artifact: Artifact, part: str) -> list[Item]:
    """The images that a part of an artefact's tensors belongs to, row by row."""
    return [Item(*item) for item in json.loads(artifact.tensors[f"{part}.items"].tobytes())]


def labels_of(items: Sequence[Item]) -> "np.ndarray":
    """(N,) int64 labels of the items."""
    import numpy as np

    return np.array([item.label for item in items], dtype=np.int64)
