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


TAKE_PROMPTS = {"dpc.stages.elsewhere", "dpc.exchange.layouts", "dpc.exchange.sentences"}


def used(stage: str) -> set[str]:
    return {module for module in closure([stage]) if not _is_plumbing(module)}


@pytest.mark.parametrize("stage", EXPECTED)
def test_a_stage_depends_on_what_it_uses(stage):
    assert EXPECTED[stage] <= used(stage)
    assert not FOREIGN[stage] & used(stage)


@pytest.mark.parametrize("stage", ["tune", "finetune", "teacher"])
def test_what_makes_imported_prompts_the_stages_own_is_part_of_the_version(stage):
    """Where files lie and what a command is called is not, nor the reading of checkpoints."""
    found = used(f"dpc.stages.{stage}")
    assert found >= TAKE_PROMPTS
    assert not {"dpc.stages.imported", "dpc.exchange.importing", "dpc.import_cli"} & found


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


@pytest.fixture()
def outside(tmp_path, monkeypatch):
    """A backbone in a package of its own, whose neighbours it imports in every way there is."""
    files = {
        "__init__": "",
        "model": "import numpy\nfrom dpc.training import train\nfrom outside.layers import Layer\n"
        "from . import near\nfrom .deep.inner import x\n",
        "layers": "raise RuntimeError('reading imports runs nothing')\n",
        "near": "def later():\n    import outside.late\n",
        "late": "",
        "deep/__init__": "from .. import above\n",
        "deep/inner": "x = 1\n",
        "above": "",
        "foreign": "",
    }
    for name, text in files.items():
        path = tmp_path / "outside" / f"{name}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path / "outside"


def test_an_outside_backbone_counts_with_its_neighbours(outside):
    found = closure(["outside.model"])
    own = {name for name in found if name.partition(".")[0] == "outside"}
    names = ("model", "layers", "near", "late", "deep", "deep.inner", "above")
    assert own == {"outside", *(f"outside.{name}" for name in names)}
    assert "dpc.training" in found
    assert not any(name.startswith("numpy") for name in found)
    before = code_version("outside.model")
    (outside / "foreign.py").write_text("x = 2\n")
    assert code_version("outside.model") == before
    (outside / "late.py").write_text("x = 2\n")
    assert code_version("outside.model") != before


def test_the_packages_own_modules_need_not_begin_a_name(tmp_path, monkeypatch):
    """``dpcx`` is no module of ``dpc``."""
    (tmp_path / "dpcx.py").write_text("")
    (tmp_path / "lone.py").write_text("import dpcx\nimport dpc.training\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert closure(["lone"]) & {"lone", "dpcx", "dpc.training"} == {"lone", "dpc.training"}


def test_a_template_beside_the_code_is_part_of_the_version(tmp_path, monkeypatch):
    import dpc.provenance as provenance

    before = code_version("dpc.stages.report")
    real = provenance._data_in
    template = tmp_path / "page.html.j2"
    template.write_text("another page")
    monkeypatch.setattr(
        provenance,
        "_data_in",
        lambda path: [template if p.name == template.name else p for p in real(path)],
    )
    assert code_version("dpc.stages.report") != before
