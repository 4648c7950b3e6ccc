"""Params and published datasets for tests of the doctor: tiny trees that count as the originals."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from composed import preset
from coop_layout import folder_of, write

from dpc.datasets import split_file
from dpc.datasets.catalog import CATALOG
from dpc.params.load import checked

CLASSES = 5


def params_for(root: Path, *datasets: str, overrides: Sequence[str] = ()):
    """The smoke preset on datasets below ``root``."""
    values = preset("smoke", overrides)
    values["data"]["root"] = str(root)
    if datasets:
        values["run"]["datasets"] = list(datasets)
    return checked(values)


def published(monkeypatch, root: Path, name: str, nested: bool = False) -> Path:
    """A tree that counts as the published dataset; its folder."""
    write(root, [name], nested, CLASSES)
    folder = root / folder_of(name, nested)
    entry = CATALOG[name]
    classes = min(CLASSES, entry.classes)
    train = None if entry.test_only else classes
    facts = {"classes": classes, "train": train, "test": classes}
    facts |= {"val": classes if entry.val is not None else None}
    if entry.content is not None:
        entries = split_file.parse(folder / entry.split)
        facts["content"] = split_file.content_hash(entries)
    monkeypatch.setitem(CATALOG, name, replace(entry, **facts))
    return folder
