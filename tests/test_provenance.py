"""Which modules a stage's version covers: what it uses, and nothing that cannot change a number."""

import pytest

from dpc.backbones import BACKBONES
from dpc.provenance import _is_plumbing, closure, code_version, module_path

EXPECTED = {
    "dpc.stages.prepare": {"dpc.datasets.base"},
    "dpc.stages.features": {"dpc.datasets.views", "dpc.datasets.fewshot", "dpc.clip.model"},
    "dpc.stages.tune": {"dpc.training", "dpc.backbones.tuning", "dpc.clip.towers"},
    "dpc.stages.finetune": {"dpc.collaboration.loss", "dpc.collaboration.negatives"},
    "dpc.stages.evaluate": {"dpc.collaboration.weighting", "dpc.evaluation.accuracy"},
    "dpc.stages.report": {"dpc.report.page", "dpc.evaluation.statistics"},
}
FOREIGN = {
    "dpc.stages.prepare": {"dpc.clip.model", "dpc.training", "dpc.report.page"},
    "dpc.stages.features": {"dpc.training", "dpc.collaboration.loss", "dpc.report.page"},
    "dpc.stages.tune": {"dpc.collaboration.loss", "dpc.report.page", "dpc.icons.benchmark"},
    "dpc.stages.finetune": {"dpc.report.page", "dpc.evaluation.accuracy"},
    "dpc.stages.evaluate": {
        "dpc.collaboration.loss",
        "dpc.collaboration.finetune",
        "dpc.report.page",
    },
    "dpc.stages.report": {"dpc.training", "dpc.clip.model", "dpc.collaboration.weighting"},
}


def used(stage: str) -> set[str]:
    return {module for module in closure([stage]) if not _is_plumbing(module)}


@pytest.mark.parametrize("stage", EXPECTED)
def test_a_stage_depends_on_what_it_uses(stage):
    assert EXPECTED[stage] <= used(stage)
    assert not FOREIGN[stage] & used(stage)


@pytest.mark.parametrize("stage", EXPECTED)
def test_no_stage_depends_on_a_particular_backbone(stage):
    modules = {target.partition(":")[0] for target in BACKBONES.values()}
    assert not modules & used(stage)


def test_the_version_follows_the_content_of_a_module(tmp_path, monkeypatch):
    import dpc.provenance as provenance

    path = module_path("dpc.collaboration.loss")
    copied = tmp_path / "loss.py"
    copied.write_bytes(path.read_bytes())
    real = provenance.module_path
    monkeypatch.setattr(
        provenance, "module_path", lambda m: copied if m == "dpc.collaboration.loss" else real(m)
    )
    before = code_version("dpc.stages.finetune"), code_version("dpc.stages.tune")
    assert before[0] == code_version("dpc.stages.finetune")
    copied.write_bytes(path.read_bytes() + b"# a note\n")
    after = code_version("dpc.stages.finetune"), code_version("dpc.stages.tune")
    assert after[0] != before[0]
    assert after[1] == before[1]
