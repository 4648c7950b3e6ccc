"""`dpc features`: frozen CLIP features of the test images, and of each seed's training views."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import TYPE_CHECKING

from dpc import artifacts
from dpc.artifacts import Artifact
from dpc.datasets.base import Images, Item, Manifest
from dpc.datasets.fewshot import draw, halves, subset
from dpc.files import digest
from dpc.params.load import require_dataset
from dpc.params.sections import Params
from dpc.stages import slices
from dpc.stages.inputs import manifest_input
from dpc.stages.layout import Layout
from dpc.stages.runner import Job, Made, device_of

if TYPE_CHECKING:
    import numpy as np

BATCH = 256


def test_job(params: Params, layout: Layout, dataset: str) -> Job:
    """Features of the test images of base and new classes, and what the table says of the set."""
    require_dataset(params, dataset)

    def make(inputs: Mapping[str, Artifact], key: str) -> Made:
        manifest = Manifest.from_json(inputs["manifest"].results)
        cut = halves(manifest.splits["train"])
        _warn_of_unknown_words(params, manifest)
        tensors: dict[str, np.ndarray] = {}
        for half, labels in (("base", cut.base), ("new", cut.new)):
            items = subset(manifest.splits["test"], labels)
            encoder = _Encoder(params, layout, manifest, f"{dataset}: {half} test images")
            tensors[f"{half}.features"] = encoder.plain(items)
            tensors[f"{half}.labels"] = _labels(items)
        results = {
            "base": [manifest.classnames[label] for label in cut.base],
            "new": [manifest.classnames[label] for label in cut.new],
            "rule": manifest.rule,
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


def shots_job(params: Params, layout: Layout, dataset: str, seed: int) -> Job:
    """Features of the few-shot views and validation shots of the base classes, for one seed."""
    require_dataset(params, dataset)
    data = params.data

    def make(inputs: Mapping[str, Artifact], key: str) -> Made:
        manifest = Manifest.from_json(inputs["manifest"].results)
        splits = manifest.splits
        drawn = draw(splits["train"], splits["val"], data.shots, data.val_shots, seed)
        base = halves(splits["train"]).base
        train, val = subset(drawn.train, base), subset(drawn.val, base)
        encoder = _Encoder(params, layout, manifest, f"{dataset} seed {seed}: training views")
        tensors = {
            "train.features": encoder.views(train),
            "train.labels": _labels(train),
            "val.features": encoder.plain(val),
            "val.labels": _labels(val),
        }
        if params.dpc.negatives.pool == "train":
            pool = subset(splits["train"], base)
            tensors["pool.features"] = encoder.views(pool)
            tensors["pool.labels"] = _labels(pool)
        results = {
            "classnames": [manifest.classnames[label] for label in base],
            "draw": digest(artifacts.canonical([list(item) for item in drawn.train])),
        }
        return {"shots.safetensors": Artifact(tensors, results)}

    return Job(
        "shots",
        {"dataset": dataset, "seed": seed},
        slices.shots(params),
        {"manifest": manifest_input(params, layout, dataset)},
        {"shots.safetensors": layout.shots(dataset, seed)},
        make,
        device_of(params),
    )


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


class _Encoder:
    """Encodes images of one dataset, in large batches."""

    def __init__(self, params: Params, layout: Layout, manifest: Manifest, what: str):
        self._params = params
        self._manifest = manifest
        self._folder = layout.manifest(manifest.dataset).parent
        self._what = what

    def plain(self, items: Sequence[Item]) -> "np.ndarray":
        """Features (N, d) of the images as a test sees them."""
        from dpc.datasets.views import test_view
        from dpc.stages.frozen import clip_for, input_format

        form = input_format(clip_for(self._params))
        with Images(self._manifest, self._folder) as images:
            return self._encode(len(items), (test_view(images.read(i), form) for i in items))

    def views(self, items: Sequence[Item]) -> "np.ndarray":
        """Features (N, V, d) of V augmented views of each image."""
        from dpc.datasets.views import draw_crop, train_view
        from dpc.stages.frozen import clip_for, input_format

        form, params = input_format(clip_for(self._params)), self._params.data.views
        with Images(self._manifest, self._folder) as images:

            def all_views() -> Iterator["np.ndarray"]:
                for item in items:
                    image = images.read(item)
                    for index in range(params.count):
                        crop = draw_crop(image.size, item.sha256, index, params)
                        yield train_view(image, crop, form)

            features = self._encode(len(items) * params.count, all_views())
        return features.reshape(len(items), params.count, -1)

    def _encode(self, total: int, pixels: Iterator["np.ndarray"]) -> "np.ndarray":
        import numpy as np
        import torch

        from dpc.clip.features import encode_images
        from dpc.progress import track
        from dpc.stages.frozen import clip_for

        clip = clip_for(self._params)
        if total == 0:
            return np.zeros((0, clip.embed_dim), np.float32)
        followed = track(pixels, self._what, total, "images")
        batches = (
            torch.from_numpy(np.stack(batch)).to(clip.device)
            for batch in iter(lambda: list(islice(followed, BATCH)), [])
        )
        return encode_images(clip, batches).numpy()


def _labels(items: Sequence[Item]) -> "np.ndarray":
    import numpy as np

    return np.array([item.label for item in items], dtype=np.int64)
