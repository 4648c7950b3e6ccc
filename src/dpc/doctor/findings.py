"""What the doctor says: plain records, which become JSON as they stand."""

from collections.abc import Iterable
from dataclasses import dataclass, field

UNITS = (("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10))
SHOWN = 3  # names of a long list of files that are said


@dataclass(frozen=True)
class Problem:
    """Something that the grid needs and that is missing or wrong.

    Attributes:
        where: a dataset's name, "clip", "teacher", "machine", "disk" or "grid".
        what: one line: what is wrong, and what follows from it.
        fix: one line: what to do; empty where ``what`` says so itself.
    """

    where: str
    what: str
    fix: str = ""


@dataclass(frozen=True)
class Files:
    """How many files, and the first few."""

    count: int = 0
    first: tuple[str, ...] = ()

    @classmethod
    def of(cls, names: Iterable[str]) -> "Files":
        """Count ``names`` and keep the first three."""
        found = list(names)
        return cls(len(found), tuple(found[:SHOWN]))

    def __str__(self) -> str:
        more = f" and {self.count - len(self.first)} more" if self.count > len(self.first) else ""
        return ", ".join(self.first) + more


@dataclass(frozen=True)
class Counts:
    """Classes and images; None: not known, or a split that the dataset does not have."""

    classes: int | None = None
    train: int | None = None
    val: int | None = None
    test: int | None = None


@dataclass(frozen=True)
class DatasetReport:
    """One dataset.

    Attributes:
        name, title: in params.yaml, and in tables.
        kind: "embedded", "published" or "own".
        needed: whether its problems count: the grid has it, or it was asked for by name.
        found: whether it lies on this machine.
        wrong_copy: whether what lies there is known to be something else.
        layout: how its folders lie: "coop", "nested", "own root", "given", or None.
        folder, split: where images start from, and the file that splits them.
        counts, expected: what lies here, and what was published.
        content, expected_content: hash of the split's content; None: no split file, not known.
        missing, outside: images that the split names and that are not there, or not below folder.
        opened: images that were decoded; None: none was (only with --images).
        undecodable: those that could not be.
        notes: facts that change nothing.
        problems: what is wrong.
        get: where a dataset that was not found comes from, and where it goes; lines.
    """

    name: str
    title: str
    kind: str
    needed: bool = True
    found: bool = False
    wrong_copy: bool = False
    layout: str | None = None
    folder: str | None = None
    split: str | None = None
    counts: Counts = Counts()
    expected: Counts = Counts()
    content: str | None = None
    expected_content: str | None = None
    missing: Files = Files()
    outside: Files = Files()
    opened: int | None = None
    undecodable: Files = Files()
    notes: tuple[str, ...] = ()
    problems: tuple[Problem, ...] = ()
    get: tuple[str, ...] = ()


@dataclass(frozen=True)
class ClipReport:
    """A frozen CLIP.

    Attributes:
        role: "clip", or "teacher" (the one that students learn from).
        model, pretrained: as in params.yaml.
        weights: "embedded", "file", "cache" (downloaded before), "download" (at the first run),
            "random", or None where they do not fit.
        place: the file, or what would be downloaded.
        bytes: of the file; None: not there.
        problems: what is wrong.
    """

    role: str
    model: str
    pretrained: str
    weights: str | None = None
    place: str | None = None
    bytes: int | None = None
    problems: tuple[Problem, ...] = ()


@dataclass(frozen=True)
class MachineReport:
    """Where the grid would run.

    Attributes:
        device: "cpu" or "cuda", what clip.device comes to.
        precision: clip.precision.
        torch: version of torch.
        torch_sees, driver_sees: number of CUDA devices.
        gpu: its name; None without one.
        gpu_bytes: its memory.
        free_bytes: memory that is free on the device; None: nobody tells.
        processors: that this process may use.
        threads: run.threads.
        disks: free bytes by what lies there ("results", "cache").
        problems: what is wrong.
    """

    device: str
    precision: str
    torch: str
    torch_sees: int
    driver_sees: int
    gpu: str | None
    gpu_bytes: int | None
    free_bytes: int | None
    processors: int
    threads: int
    disks: dict[str, int] = field(default_factory=dict)
    problems: tuple[Problem, ...] = ()


@dataclass(frozen=True)
class GridReport:
    """What the grid of the params file will take, to a factor of three.

    Attributes:
        protocol: of the params file.
        cells: how many cells each stage has.
        seconds: of each stage, all cells one after the other.
        memory: bytes of the largest step, beside the weights; ``largest``: the cell it is.
        weights: bytes of the CLIP, and of the teacher where one runs beside it.
        held: bytes of the largest features that a stage holds in memory.
        disk: bytes of results, and as many again of the store that keeps a copy.
        assumed: datasets whose published counts stand in, as they were not found.
        problems: cells that do not fit.
    """

    protocol: str
    cells: dict[str, int]
    seconds: dict[str, float]
    memory: int
    largest: str
    weights: int
    held: int
    disk: int
    assumed: tuple[str, ...] = ()
    problems: tuple[Problem, ...] = ()


def amount(number: int) -> str:
    """Bytes in words."""
    for word, size in UNITS:
        if number >= size:
            return f"{number / size:.1f} {word}"
    return f"{number} bytes"
