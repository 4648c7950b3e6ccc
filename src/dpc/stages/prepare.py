"""`dpc prepare`: a dataset's class names, splits and hashes; embedded images are rendered."""

import importlib
import io
import zipfile
from collections.abc import Mapping

from dpc.artifacts import Artifact
from dpc.datasets import EMBEDDED, on_disk
from dpc.datasets.base import Manifest, check_classes
from dpc.files import digest
from dpc.params.load import require_dataset
from dpc.params.sections import Params
from dpc.stages import slices
from dpc.stages.layout import Layout
from dpc.stages.runner import Job, Made


def job(params: Params, layout: Layout, dataset: str) -> Job:
    """Read or render ``dataset``.

    Raises:
        DpcError: no such dataset.
    """
    require_dataset(params, dataset)
    outputs = {"manifest.json": layout.manifest(dataset)}
    if dataset in EMBEDDED:
        outputs["images.zip"] = layout.images(dataset)

    def make(inputs: Mapping[str, Artifact], key: str) -> Made:
        if dataset in EMBEDDED:
            module, _, function = EMBEDDED[dataset].partition(":")
            raw = getattr(importlib.import_module(module), function)(dataset, params)
        else:
            raw = on_disk.read(dataset, params)
        check_classes(dataset, raw.classnames, raw.splits)
        archive = pack(raw.rendered) if raw.rendered is not None else None
        manifest = Manifest(
            dataset=dataset,
            classnames=raw.classnames,
            splits=raw.splits,
            rule=raw.rule,
            template=raw.template,
            published=raw.published,
            archive=digest(archive) if archive is not None else None,
        )
        made: dict[str, Artifact | bytes] = {"manifest.json": Artifact(results=manifest.as_json())}
        if archive is not None:
            made["images.zip"] = archive
        return made

    return Job("prepare", {"dataset": dataset}, slices.prepare(params, dataset), {}, outputs, make)


def pack(files: Mapping[str, bytes]) -> bytes:
    """A ZIP archive whose bytes depend on names and contents alone (stored, one fixed date)."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name in sorted(files):
            entry = zipfile.ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0))
            entry.create_system = 3
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, files[name])
    return buffer.getvalue()
