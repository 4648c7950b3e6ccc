"""What each protocol asks of the grid."""

from dpc.params.backbones import traits
from dpc.params.protocols import FEW_SHOT, TRANSFERS
from dpc.params.sections import Params


def protocol_problems(params: Params) -> list[str]:
    """One line for each part of the grid that the protocol cannot run."""
    found = _targets(params) + _test_only(params) + _shots(params) + _students(params)
    if params.run.ablations and not params.halved:
        found.append(
            f"run.ablations: protocol {params.protocol} has no new classes, which the ablation's "
            "rungs differ on; empty it, or take base-to-new"
        )
    return found


def _targets(params: Params) -> list[str]:
    run, protocol = params.run, params.protocol
    if protocol not in TRANSFERS:
        if not run.targets:
            return []
        return [
            f"run.targets: protocol {protocol} tests the datasets that it tunes on and has no "
            f"targets; empty it, or take protocol {' or '.join(TRANSFERS)}"
        ]
    found = []
    if len(run.datasets) > 1:
        found.append(
            f"run.datasets: protocol {protocol} tunes on one source and {len(run.datasets)} are "
            "named; move those that are only tested on to run.targets"
        )
    if not run.targets:
        found.append(f"run.targets is empty; protocol {protocol} tests on at least one target")
    found += [
        f"run.targets: {name!r} is in run.datasets too, and its test is a row already; take it out"
        for name in run.targets
        if name in run.datasets
    ]
    return found


def _test_only(params: Params) -> list[str]:
    from dpc.datasets import TEST_ONLY

    return [
        f"run.datasets: {name!r} has test images only, nothing can be tuned on it; it belongs to "
        f"run.targets of protocol {TRANSFERS[1]}"
        for name in params.run.datasets
        if name in TEST_ONLY
    ]


def _shots(params: Params) -> list[str]:
    if params.protocol == FEW_SHOT or len(params.run.shots) <= 1:
        return []
    return [
        f"run.shots: protocol {params.protocol} takes one number and {params.run.shots} are given; "
        f"protocol {FEW_SHOT} takes several"
    ]


def _students(params: Params) -> list[str]:
    """A student knows its teacher's classes, and the teacher was tuned on one number of shots."""
    students = [
        name
        for name in params.run.backbones
        if name in params.backbones and traits(params, name)["needs_teacher"]
    ]
    found = []
    if params.protocol in TRANSFERS:
        found += [
            f"run.backbones: {name!r} learns its teacher's features of the source's classes and "
            f"knows no others; protocol {params.protocol} has no place for it"
            for name in students
        ]
    for name in students if params.data.unlabelled else ():
        kept = params.stage_two(name).keep_losses
        if kept or (kept is None and traits(params, name)["kept_losses"]):
            found.append(
                f"data.unlabelled is {params.data.unlabelled} and stage two of {name!r} keeps "
                "losses that compare its images with the teacher's, whose draw is another; "
                "take data.unlabelled: 0, or dpc.keep_losses: []"
            )
    if len(params.run.shots) > 1:
        found += [
            f"run.backbones: the teacher of {name!r} is tuned on one number of shots, and "
            f"run.shots has {len(params.run.shots)}; give one"
            for name in students
        ]
    return found
