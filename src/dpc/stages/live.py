"""Training curves as DVCLive writes them, for `dvc plots show` and for tools that read those."""

import contextlib
import math
import os
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any


def training_metrics(rows: Iterable[Mapping[str, Any]]) -> dict[str, list[float]]:
    """``method/loss`` -> its value in each epoch, the mean over data sets, seeds and shots.

    ``coop/classification`` is a loss of stage one, ``coop+dpc/contrastive`` one of stage two.
    Where some runs are longer, the mean of a late epoch is over those that came to it.
    """
    runs: dict[str, list[Sequence[float]]] = {}
    for row in rows:
        for loss, values in sorted((row.get("history") or {}).items()):
            runs.setdefault(f"{row['method']}/{loss}", []).append(values)
    return {name: _means(found) for name, found in runs.items()}


def files(rows: Iterable[Mapping[str, Any]]) -> dict[str, bytes]:
    """DVCLive's files, by path below its folder: a TSV a metric, and the last value of each."""
    from dvclive import Live

    metrics = training_metrics(rows)
    # out of the checkout: there DVCLive looks for a repository, and fails in one without commits
    with tempfile.TemporaryDirectory() as made, contextlib.chdir(made), _offline():
        with Live(made, resume=False, report=None, save_dvc_exp=False, dvcyaml=None) as live:
            for epoch in range(max(map(len, metrics.values()), default=0)):
                live.step = epoch + 1
                for name, values in metrics.items():
                    if epoch < len(values):
                        live.log_metric(name, values[epoch])
        found = sorted(path for path in Path(made).rglob("*") if path.is_file())
        return {path.relative_to(made).as_posix(): path.read_bytes() for path in found}


@contextlib.contextmanager
def _offline() -> Iterator[None]:
    """Nothing is sent to DVC Studio, whatever the user has logged in to."""
    name = "DVC_STUDIO_OFFLINE"
    before = os.environ.get(name)
    os.environ[name] = "true"
    try:
        yield
    finally:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before


def _means(runs: Sequence[Sequence[float]]) -> list[float]:
    longest = max(len(run) for run in runs)
    columns = [[run[epoch] for run in runs if len(run) > epoch] for epoch in range(longest)]
    return [math.fsum(column) / len(column) for column in columns]
