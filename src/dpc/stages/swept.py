"""The sweeps of the grid as the report reads them."""

from typing import Any

from dpc.params.sections import Params
from dpc.params.sweep_rules import own_point
from dpc.stages import slices
from dpc.stages.layout import Layout
from dpc.stages.runner import Input


def swept(params: Params, layout: Layout) -> list[dict[str, Any]]:
    """Every sweep that runs, for ``ReportContext.sweeps``.

    Raises:
        DpcError: one of its files is missing, damaged or stale.
    """
    run = params.run
    return [
        {
            "name": name,
            "title": params.sweeps[name].title or name,
            "points": params.sweeps[name].points,
            "own": {backbone: own_point(params, name, backbone) for backbone in run.backbones},
            "cells": [
                _cell(params, layout, name, dataset, backbone)
                for dataset in run.datasets
                for backbone in run.backbones
            ],
        }
        for name in run.sweeps
    ]


def _cell(params: Params, layout: Layout, name: str, dataset: str, backbone: str) -> Any:
    made_by = slices.sweep(params, name, backbone, dataset)
    remedy = f"run `dpc sweep --name {name} --dataset {dataset} --backbone {backbone}`"
    return Input(layout.swept(name, dataset, backbone), made_by, remedy).examine().results
