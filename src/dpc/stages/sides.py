"""A finished tree, or the numbers of one, as one side of a comparison."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dpc import artifacts
from dpc.artifacts import Examined
from dpc.errors import DpcError
from dpc.files import digest, is_file, is_folder
from dpc.progress import track
from dpc.report.protocols import PROTOCOLS
from dpc.report.scores import Row
from dpc.stages.layout import Layout
from dpc.store import DEFAULT, Store

SEALED = ("prepare", "evaluate", "tune", "features")  # a tree has one of these folders at least
Cell = tuple[str, str, int | None, int | None]  # data set, method, shots, seed


@dataclass(frozen=True)
class Side:
    """One of the two.

    Attributes:
        name: as it was given.
        root: its tree; None: there are numbers alone.
        made: its artefacts, by path below the root.
        rows: its evaluated rows by cell: data set, method, shots, seed.
    """

    name: str
    root: Path | None
    made: Mapping[str, Examined]
    rows: Mapping[Cell, Row]

    @property
    def protocols(self) -> list[str]:
        """Of its rows."""
        return sorted({str(row["protocol"]) for row in self.rows.values()})

    @property
    def swept(self) -> bool:
        """Whether it holds rows of sweeps, which are none of the table."""
        return any(each.provenance["stage"] == "sweep" for each in self.made.values())

    @property
    def shots(self) -> list[int]:
        """Numbers of shots in its table."""
        return sorted({cell[2] for cell in self.rows if cell[2] is not None})

    def versions(self) -> dict[str, list[str]]:
        """Library -> versions that its artefacts were made with, as far as a store knows them."""
        if self.root is None:
            return {}
        stores = [Store(self.root.parent / DEFAULT), Store()]
        found: dict[str, set[str]] = {}
        for each in self.made.values():
            key = digest(artifacts.canonical(each.provenance))
            told = next((made for store in stores if (made := store.versions(key))), {})
            for library, version in told.items():
                found.setdefault(library, set()).add(version)
        return {library: sorted(versions) for library, versions in found.items()}


def read_side(given: Path) -> Side:
    """A tree, or the numbers of one.

    Args:
        given: a folder of results, the project folder that holds it, its report folder, or a
            metrics.json; with its tree beside it, that counts.

    Raises:
        DpcError: it is none of these, or an artefact in it is damaged.
    """
    if is_file(given):
        beside = _tree(given.parent)
        return _numbers(given) if beside is None else _of_tree(given, beside)
    if not is_folder(given):
        raise DpcError(f"{given} does not exist; {_EXPECTED}")
    above = [given.resolve().parent] if given.name == "report" else []
    for folder in (given, given / Layout().root, *above):
        if _tree(folder) is not None:
            return _of_tree(given, folder)
    if (given / "metrics.json").is_file():
        return _numbers(given / "metrics.json")
    raise DpcError(f"{given} holds neither {'/, '.join(SEALED)}/ nor metrics.json; {_EXPECTED}")


_EXPECTED = "a folder of results of dpc, or its metrics.json, is expected"


def _tree(folder: Path) -> Path | None:
    return folder if any((folder / stage).is_dir() for stage in SEALED) else None


def _of_tree(given: Path, root: Path) -> Side:
    paths = [*root.rglob("*.safetensors"), *root.glob("prepare/*/manifest.json")]
    found = {path.relative_to(root).as_posix(): path for path in sorted(paths)}
    if not found:
        raise DpcError(f"{given} holds no artefact; run `snakemake --cores all all` there first")
    remedy = "remove it, or run the stage that makes it again"
    made = {
        name: artifacts.examine(path, remedy)
        for name, path in track(found.items(), f"read {given}", len(found), "files")
    }
    tested = [each.results for name, each in made.items() if name.startswith("evaluate/")]
    rows = {(row["dataset"], row["method"], row["shots"], row["seed"]): row for row in tested}
    return Side(str(given), root, made, rows)


def _numbers(path: Path) -> Side:
    """Of a metrics.json, the rows with the weights of the run."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        rows = {
            (row["dataset"], _method(row), row["shots"], row["seed"]): row
            for row in content["rows"]
            if row["selection"] == "last" and PROTOCOLS[row["protocol"]]
        }
    except (OSError, ValueError, KeyError, TypeError):
        raise DpcError(f"{path} is no metrics.json of `dpc report`; {_EXPECTED}") from None
    return Side(str(path), None, {}, rows)


def _method(row: Mapping[str, Any]) -> str:
    end = "+dpc" if row["dpc"] else "+budget" if row["budget"] else ""
    return f"{row['backbone']}{end}"
