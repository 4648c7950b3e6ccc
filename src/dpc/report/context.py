"""What a report is made of: the rows in order, and what else the page says about the run."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from dpc.errors import DpcError
from dpc.params.protocols import BASE_TO_NEW, FEW_SHOT
from dpc.report.protocols import PROTOCOLS, Protocol
from dpc.report.rows import Results, collect, in_order, ladder
from dpc.report.scores import Row


@dataclass(frozen=True)
class ReportContext:
    """What the page says about the run besides its results.

    ``datasets`` holds, in the order to show (targets after their source), dicts of ``name``,
    ``classes``, ``classes_base``, ``classes_new``, ``n_shots`` (training images of one seed),
    ``n_train`` (those of the whole split), ``n_test``, ``split_by`` ("image", "drawing" or a
    phrase) and ``published`` (whether it is the published set of that name, as far as its split's
    hash or its counts tell; None: there is none, or nothing tells); all but the name may be
    missing. So may ``classnames``, all names, base ones first. ``inputs`` and ``versions`` are
    name -> text; the versions are those of the environment that builds the report, which need not
    have made every row. ``title`` is the protocol's where it is empty.

    ``sweeps`` holds dicts of ``name``, ``title``, ``points`` (name -> the keys that it changes),
    ``own`` (backbone -> the point that is the grid itself, or None) and ``cells``, what
    ``stages.sweep`` made of each data set and backbone.

    ``predictions`` goes by data set, method and draw, as the rows' files are called
    (``("icons-tabler", "coop+dpc", "shots16-seed1")``, zero-shot CLIP's draw is ``all``), and
    holds ``{part}.predictions`` and ``{part}.labels``, int64 (N,), images in one order for all
    methods. The part is base or new, or test; labels of base-to-new count from 0 in each part.
    Of DPC it also holds ``record/negatives``, int32 (P, 3): class, negative class, times drawn,
    and ``{group}.profiles``, float32 (2, L, d): P's and P''s of a group of the row's ``channels``.

    ``thumbnail`` gives a data URI of an image of a data set by its name, or of a class by its
    label, or "" where there is none to read; None: no picture is shown. ``made`` says of every row
    its ``dataset``, ``method``, ``draw``, ``target`` (its file, below the folder of the engines),
    ``command``, and ``content``, ``key``, ``code`` and ``device`` of its artefact.
    """

    params: Mapping[str, Any] = field(default_factory=dict)
    clip: str = ""
    versions: Mapping[str, str] = field(default_factory=dict)
    inputs: Mapping[str, str] = field(default_factory=dict)
    datasets: Sequence[Mapping[str, Any]] = ()
    commands: Sequence[str] = ()
    title: str = ""
    sweeps: Sequence[Mapping[str, Any]] = ()
    predictions: Mapping[tuple[str, str, str], Mapping[str, np.ndarray]] = field(
        default_factory=dict
    )
    thumbnail: Callable[[str, str | int], str] | None = None
    made: Sequence[Mapping[str, str]] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """Data sets in the order to show."""
        return tuple(str(dataset["name"]) for dataset in self.datasets)

    @property
    def backbones(self) -> tuple[str, ...]:
        """Backbones in the order to show."""
        return tuple((self.params.get("run") or {}).get("backbones") or ())

    @property
    def protocol(self) -> Protocol:
        """Of the run; base-to-new where the params name none.

        Raises:
            DpcError: no such protocol.
        """
        name = str(self.params.get("protocol", BASE_TO_NEW))
        if name not in PROTOCOLS:
            raise DpcError(f"protocol {name!r} has no report; there are {', '.join(PROTOCOLS)}")
        return PROTOCOLS[name]


@dataclass(frozen=True)
class Report:
    """All that the sections of the page are made from.

    ``series`` goes by shots, fewest first, in the few-shot protocol; elsewhere it has one entry,
    by None. ``ladder`` holds the rungs of the ablation.
    """

    context: ReportContext
    series: Mapping[int | None, Results]
    ladder: Results

    @property
    def protocol(self) -> Protocol:
        """Of all rows."""
        return self.results.protocol

    @property
    def results(self) -> Results:
        """The results; of a series, those of the most shots."""
        return list(self.series.values())[-1]

    @property
    def apart(self) -> dict[int | None, "Report"]:
        """A report of each number of shots alone; itself where there is no series."""
        return {shots: replace(self, series={shots: one}) for shots, one in self.series.items()}


def report(rows: Iterable[Row], context: ReportContext) -> Report:
    """Put the rows of a report in order.

    Raises:
        DpcError: a row that cannot be read, see `dpc.report.rows.collect`.
    """
    rows, protocol = list(rows), context.protocol
    order = (context.names, context.backbones)
    return Report(context, series(rows, *order, protocol), ladder(rows, *order, protocol))


def series(
    rows: Iterable[Row],
    datasets: Sequence[str] = (),
    backbones: Sequence[str] = (),
    protocol: Protocol = PROTOCOLS[BASE_TO_NEW],
) -> dict[int | None, Results]:
    """Results by shots in the few-shot protocol, else all of them by None.

    Zero-shot CLIP is in each; data sets, contenders and seeds are those of all shots, so that
    what some shots lack shows as missing. Arguments and errors as of ``rows.collect``.
    """
    rows = list(rows)
    found = {row.get("shots") for row in rows if row.get("seed") is not None}
    if protocol.name != FEW_SHOT or not found:
        return {None: collect(rows, datasets, backbones, protocol)}
    for row in rows:
        if row.get("seed") is not None and row.get("shots") is None:
            raise DpcError(
                f"a few-shot row of {row.get('backbone')} on {row.get('dataset')}, seed "
                f"{row['seed']}, lacks shots; evaluate its cell again"
            )
    each = {
        shots: collect(
            (row for row in rows if row.get("seed") is None or row.get("shots") == shots),
            datasets,
            backbones,
            protocol,
        )
        for shots in sorted(found, key=by_shots)
    }
    everything = list(each.values())
    names = {name for results in everything for name in results.datasets}
    common: dict[str, Any] = {
        "datasets": tuple(dict.fromkeys([*datasets, *sorted(names.difference(datasets))])),
        "contenders": in_order((m for one in everything for m in one.contenders), backbones),
        "seeds": tuple(sorted({seed for results in everything for seed in results.seeds})),
        "names": {key: name for one in everything for key, name in one.names.items()},
        "transductive": frozenset().union(*(results.transductive for results in everything)),
    }
    return {shots: replace(results, **common) for shots, results in each.items()}


def by_shots(shots: int | None) -> float:
    """Order of numbers of shots: 0 is all images there are."""
    return math.inf if shots == 0 else float(shots or 0)


def shots_name(shots: int) -> str:
    """``16 shots``, ``1 shot`` or ``all images``."""
    return "all images" if shots == 0 else f"{shots} shot{'s' if shots != 1 else ''}"


def shots_text(shots: int | None) -> str:
    """``16``, or ``all``."""
    return "all" if shots == 0 else str(shots)
