"""One piece of work: its key, the store asked first and filled last, its files written whole."""

import json
import resource
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dpc import artifacts
from dpc.artifacts import Artifact, Examined
from dpc.devices import device_kind
from dpc.errors import DpcError, TrainingError
from dpc.files import digest, sweep, write_atomically
from dpc.params.sections import Params
from dpc.progress import LOG, duration, logged
from dpc.provenance import library_versions
from dpc.stages.cells import Draw, titled
from dpc.stages.layout import Layout, checkpoint
from dpc.stages.slices import Slice
from dpc.store import Store

LOGS = Path("logs/jobs")
TIMINGS = Path("logs/timings")
Made = Mapping[str, Artifact | bytes]


@dataclass(frozen=True)
class Input:
    """An artefact that a job reads.

    Attributes:
        path: where it lies.
        slice: of the work that makes it; an artefact made with another one is stale.
        remedy: the command that makes it.
        parts: prefixes of the tensors that are read; the others do not count. Empty: all count.
    """

    path: Path
    slice: Slice
    remedy: str
    parts: tuple[str, ...] = ()

    def read(self) -> Artifact:
        """The artefact, whole and fresh.

        Raises:
            DpcError: missing, damaged, or made with other parameters, files or code than now.
        """
        artifact = artifacts.read(self.path, self.remedy)
        self._refuse_stale(artifact.provenance)
        return artifact

    def examine(self) -> Examined:
        """As `read`, without its tensors.

        Raises:
            DpcError: as `read`.
        """
        found = artifacts.examine(self.path, self.remedy, self.parts)
        self._refuse_stale(found.provenance)
        return found

    def _refuse_stale(self, provenance: Mapping[str, Any]) -> None:
        made_with = {key: provenance.get(key) for key in ("params", "code", "sources")}
        if made_with != identity(self.slice):
            raise DpcError(
                f"{self.path} is stale: made with other parameters, files or code than now; "
                f"{self.remedy}"
            )


@dataclass(frozen=True)
class Job:
    """What a stage does for one cell.

    Attributes:
        stage: its name.
        cell: dataset, backbone, seed, …: what tells this cell from its neighbours.
        slice: parameters and code version.
        inputs: role -> artefact that must be there and fresh.
        outputs: name in the store -> path in the tree.
        make: (inputs by role, key) -> the outputs by name; encoded artefacts may be given as bytes.
        device: the kind of device that the result depends on, or None.
    """

    stage: str
    cell: Mapping[str, Any]
    slice: Slice
    inputs: Mapping[str, Input]
    outputs: Mapping[str, Path]
    make: Callable[[Mapping[str, Artifact], str], Made]
    device: str | None = None

    @property
    def title(self) -> str:
        """The cell in words: ``tune icons-tabler coop seed 1``."""
        words = [self.stage, *(self.cell.get(key) for key in ("sweep", "dataset", "method"))]
        words.append(self.cell.get("backbone") if not self.cell.get("method") else None)
        shots, seed = self.cell.get("shots"), self.cell.get("seed")
        seeds = self.cell.get("seeds", [] if seed is None else [seed])
        words += [titled([Draw(shots or 0, each) for each in seeds])] if seeds else []
        return " ".join(str(word) for word in words if word)


def run(job: Job, store: Store | None = None) -> bool:
    """Do the work, or take it out of the store; True if it had to be done.

    What is said of a cell of the engines' tree stands in a log file of its own as well.

    Raises:
        DpcError: a missing or damaged input, or whatever the work itself refuses.
    """
    if not _in_engines_tree(job):
        return _run(job, store or Store())
    with logged(LOGS / f"{_file_name(job)}.log"):
        try:
            return _run(job, store or Store())
        except DpcError as problem:
            LOG.debug("%s failed: %s", job.title, problem)
            raise


def _run(job: Job, store: Store) -> bool:
    begin, cpu = time.monotonic(), time.process_time()
    inputs = {role: entry.read() for role, entry in job.inputs.items()}
    for role, artifact in inputs.items():
        _refuse_other_device(job, job.inputs[role], artifact)
    contents = {role: inputs[role].part(*entry.parts) for role, entry in job.inputs.items()}
    provenance = provenance_of(job, contents)
    key = digest(artifacts.canonical(provenance))
    entry = store.take(key, job.outputs)
    if entry is None:
        try:
            made = job.make(inputs, key)
        except TrainingError as problem:
            raise TrainingError(f"{job.title}: {problem}") from None
        files = {name: _encoded(name, value, provenance) for name, value in made.items()}
        store.put(key, files, library_versions())
        if store.take(key, job.outputs) is None:
            raise RuntimeError(f"the store lost {key} at once; is another process trimming it?")
    elif dict(entry.versions) != library_versions():
        LOG.warning("%s: taken from the store, made with %s", job.title, _shown(entry.versions))
    forget = checkpoint(key)  # not before: a full disk or a kill may come between
    forget.unlink(missing_ok=True)
    sweep(forget)
    _record(job, entry is None, time.monotonic() - begin, time.process_time() - cpu)
    paths = ", ".join(str(path) for path in job.outputs.values())
    source = "taken from the store" if entry is not None else duration(time.monotonic() - begin)
    LOG.info("%s: wrote %s (%s)", job.title, paths, source)
    return entry is None


def identity(read: Slice) -> dict[str, Any]:
    """What of a slice is part of a result's identity; long lists of files by one hash."""
    sources = read.get("sources")
    return {
        "params": read["params"],
        "code": read["code"],
        "sources": digest(artifacts.canonical(sources)) if sources is not None else None,
    }


def provenance_of(job: Job, contents: Mapping[str, str]) -> dict[str, Any]:
    """How the outputs come about; its hash is their key. No time, no host, no path.

    Args:
        contents: role -> hash of what is read of that input.
    """
    found: dict[str, Any] = {
        "format": artifacts.FORMAT,
        "stage": job.stage,
        "cell": dict(job.cell),
        "device": job.device,
        "inputs": dict(contents),
    }
    return found | identity(job.slice)


def _refuse_other_device(job: Job, entry: Input, artifact: Artifact) -> None:
    """Numbers of two kinds of device differ in the last digits: a row is made of one kind."""
    made_on = artifact.provenance.get("device")
    if job.device is not None and made_on not in (None, job.device):
        raise DpcError(
            f"{entry.path} was made on {made_on} and {job.title} computes on {job.device}: "
            f"{entry.remedy} here, or set clip.device: {made_on}"
        )


def device_of(params: Params) -> str:
    """The kind of device that the towers run on."""
    return device_kind(params.clip.device)


def _encoded(name: str, value: Artifact | bytes, provenance: Mapping[str, Any]) -> bytes:
    if isinstance(value, bytes):
        return value
    if name.endswith(".json"):
        return artifacts.encode_json(value.results, provenance)
    return artifacts.encode(Artifact(value.tensors, value.results, provenance))


def _record(job: Job, worked: bool, seconds: float, cpu: float) -> None:
    """Time and memory beside the results, never inside them: those must not differ by a clock."""
    if not _in_engines_tree(job):
        return
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    content = {
        "title": job.title,
        "worked": worked,
        "seconds": round(seconds, 2),
        "cpu_seconds": round(cpu, 2),
        "process_peak_mib": round(peak),
    }
    write_atomically(TIMINGS / f"{_file_name(job)}.json", json.dumps(content).encode())


def _in_engines_tree(job: Job) -> bool:
    """Whether it is no trial in a scratch tree."""
    return any(path.parts[0] == Layout().root.name for path in job.outputs.values())


def _file_name(job: Job) -> str:
    return "-".join(job.title.split())


def _shown(versions: Mapping[str, str]) -> str:
    return ", ".join(f"{name} {version}" for name, version in sorted(versions.items()))
