"""No command imports torch's compiler, and whoever compiles has it all the same."""

import subprocess
import sys

import pytest

ALL_STAGES = """
import sys
from dpc.cli import main
import torch

for stage in ("prepare", "features", "tune", "finetune", "evaluate"):
    assert main([stage, "-q"]) == 0
assert torch.are_deterministic_algorithms_enabled()
compiler = [name for name in sys.modules if name.startswith(("torch._dynamo", "torch._inductor"))]
assert sorted(compiler) == ["torch._dynamo", "torch._dynamo.utils"], len(compiler)

def doubled(x):
    return 2 * x

graphs = []
compiled = torch.compile(doubled, backend=lambda graph, _: graphs.append(graph) or graph)
assert compiled(torch.ones(2)).tolist() == [2, 2] and len(graphs) == 1
assert torch.compiler.disable(doubled) is not doubled
print("compiled")
"""


@pytest.mark.slow
def test_the_compiler_is_imported_by_what_compiles_alone(tmp_path):
    from dpc.cli import main

    grid = ("run.seeds=[1]", "run.budget=[]", "dpc.epochs=1")
    path = str(tmp_path / "params.yaml")
    assert main(["params", "--preset", "smoke", "--out", path, *grid]) == 0
    done = subprocess.run(
        [sys.executable, "-c", ALL_STAGES], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.stdout.endswith("compiled\n"), done.stderr
