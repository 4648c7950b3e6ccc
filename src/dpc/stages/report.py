"""`dpc report`: the page, its tables and figures, and the metrics, out of the evaluated rows."""

import platform
from collections.abc import Iterator

from dpc import artifacts
from dpc.artifacts import Artifact
from dpc.errors import DpcError
from dpc.files import write_atomically
from dpc.params.load import as_dict
from dpc.params.sections import Params
from dpc.progress import LOG
from dpc.provenance import library_versions
from dpc.report.page import ReportContext, build
from dpc.stages import slices
from dpc.stages.cells import methods, seeds_of
from dpc.stages.layout import Layout

# Files of the report that lie beside its folder, where engines look for them.
TOP_LEVEL = ("metrics.json", "summary.json")


def write(params: Params, layout: Layout) -> None:
    """Build the report of the cells that the params name, whatever else lies in the tree.

    Raises:
        DpcError: a row is missing, or was made with other parameters or code than now.
    """
    rows = [artifact.results for artifact in _rows(params, layout)]
    files = build(rows, _context(params, layout))
    kept = set()
    for name, content in files.items():
        path = layout.root / name if name in TOP_LEVEL else layout.report / name
        write_atomically(path, content)
        kept.add(path)
    for path in sorted(layout.report.rglob("*")):
        if path.is_file() and path not in kept:
            path.unlink()
    LOG.info("report: wrote %s", layout.report / "index.html")


def _rows(params: Params, layout: Layout) -> Iterator[Artifact]:
    for dataset in params.run.datasets:
        for method in methods(params):
            expected = slices.evaluate(params, method)
            for seed in seeds_of(method, params):
                path = layout.evaluated(dataset, method.name, seed)
                remedy = f"run `dpc evaluate --dataset {dataset} --backbone {method.backbone}`"
                row = artifacts.read(path, remedy)
                made_with = {key: row.provenance.get(key) for key in ("params", "code")}
                if made_with != {key: expected[key] for key in ("params", "code")}:
                    raise DpcError(
                        f"{path} is stale: made with other parameters or code than now; {remedy}"
                    )
                yield row


def _context(params: Params, layout: Layout) -> ReportContext:
    sets, inputs = [], {}
    for dataset in params.run.datasets:
        test = artifacts.read(
            layout.test_features(dataset), f"run `dpc features --dataset {dataset}`"
        )
        inputs[f"{dataset}: test features"] = test.content
        inputs[f"{dataset}: manifest"] = test.provenance["inputs"]["manifest"]
        sets.append(
            {
                "name": dataset,
                "classes_base": len(test.results["base"]),
                "classes_new": len(test.results["new"]),
                "n_train": test.results["train_images"],
                "n_test": sum(len(test.tensors[f"{half}.labels"]) for half in ("base", "new")),
                "split_by": test.results["rule"],
            }
        )
    identity = slices.clip_spec(params)
    return ReportContext(
        params=as_dict(params),
        clip=f"{identity.model} ({identity.pretrained}, {identity.precision})",
        versions=library_versions() | {"python": platform.python_version()},
        inputs=inputs,
        datasets=sets,
        commands=["snakemake --cores all all", "dvc repro"],
    )
