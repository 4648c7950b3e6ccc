"""The commands of docs/remotes.md, as they stand there, with a folder as remote."""

import shutil

import pytest
from doc_blocks import run_by
from tree import Tree


@pytest.mark.engine
def test_results_go_to_a_remote_and_come_back_byte_by_byte(settled, tmp_path):
    remote, keep, pull, page, back = (block.lines for block in run_by(__file__))
    there, results = settled.copy(tmp_path / "there"), settled.results()
    folder = tmp_path / "shared"
    folder.mkdir()
    type_in(there, [line.replace("/path/to/a/shared/folder", str(folder)) for line in remote])
    type_in(there, keep)
    there.run("git", "clone", "-q", str(there.root), str(tmp_path / "here"))
    here = Tree.at(tmp_path / "here")
    assert not (here.root / "results").exists()
    type_in(here, pull)
    assert here.results() == results
    shutil.rmtree(here.root / "results" / "report")
    type_in(here, page)
    assert here.results() == results
    (here.root / "params.yaml").write_text("run: {}\n")
    here.run("git", "commit", "-qam", "a later one")
    shutil.rmtree(here.root / "results" / "evaluate")
    type_in(here, back)
    assert here.results() == results
    assert here.run("git", "diff", "HEAD~1", "--", "params.yaml").stdout == ""


def type_in(tree: Tree, lines: tuple[str, ...] | list[str]) -> None:
    for line in lines:
        tree.run("bash", "-c", line)
