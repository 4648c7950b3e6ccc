"""The embedded benchmark as a dataset: icons rendered on the spot, as PNG files."""

import io
from functools import cache

import numpy as np
from PIL import Image

from dpc.datasets.base import Item, Raw
from dpc.files import digest
from dpc.params.sections import Params


def read(name: str, params: Params) -> Raw:
    """Render a set of icons: black ink on white paper, 64 × 64, grey.

    Raises:
        DpcError: an icon package is missing.
    """
    from dpc.icons import benchmark

    built = benchmark.build(name, params.data.split_by, params.data.test_cap)  # type: ignore[arg-type]
    rendered: dict[str, bytes] = {}
    splits: dict[str, list[Item]] = {"train": [], "val": [], "test": []}
    for image in built.images:
        content = _png(image.ink)
        rendered[image.name] = content
        splits[image.split].append(Item(image.name, image.label, digest(content)))
    rule = (
        f"train and test split by {params.data.split_by}, at most {params.data.test_cap} "
        "test images a class"
    )
    return Raw(
        classnames=built.classnames,
        splits={key: tuple(items) for key, items in splits.items()},
        rule=rule,
        rendered=rendered,
    )


@cache
def sources(name: str) -> dict[str, str]:
    """SHA-256 of the package files that a set is rendered from, by file; looked at once a process,
    since thousands of files are read and every seed of a set asks."""
    from dpc.icons import benchmark, families

    found: dict[str, str] = {}
    for family in benchmark.DATASETS[name].families:
        found |= families.source_hashes(family)
    return found


def _png(ink: np.ndarray) -> bytes:
    """Grey and not compressed: what a compressor makes depends on the zlib at hand."""
    file = io.BytesIO()
    Image.fromarray(255 - ink).save(file, format="PNG", compress_level=0)
    return file.getvalue()
