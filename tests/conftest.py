"""One thread, the golden CLIP, and the table of golden deviations of ``pytest -s``."""

import logging
import sys

import pytest
from tree import Tree, made_once

from dpc.uncompiled import postpone_compiler

postpone_compiler()


# torch is imported where tests run: pytest-xdist's own process, for which all wait, runs none.
@pytest.fixture(scope="session")
def student():
    """The golden CLIP with its shortcuts."""
    from golden_data import load_student

    return load_student()


@pytest.fixture(scope="session")
def slow_student():
    """The golden CLIP without shortcuts."""
    from golden_data import load_student

    return load_student(shortcuts=False)


@pytest.fixture()
def said(caplog, monkeypatch):
    """``caplog`` of our own logger, which a command takes off the root.

    Put back before the test begins: pytest then looks for loggers that keep to themselves, and one
    that it finds and that is put back later is heard twice.
    """
    monkeypatch.setattr(logging.getLogger("dpc"), "propagate", True)
    return caplog


@pytest.fixture()
def generator():
    import torch

    return torch.Generator().manual_seed(20250101)


@pytest.fixture()
def undrawn(monkeypatch):
    """Reports paint their figures and leave out the drawing: for tests of tables and words."""
    monkeypatch.setattr("matplotlib.figure.Figure.draw", lambda *_: None)


@pytest.fixture(scope="session")
def built(tmp_path_factory) -> Tree:
    """A tree that Snakemake built; all workers share it, so work in a copy."""
    base = tmp_path_factory.getbasetemp()
    return Tree.at(made_once(base, "built", lambda root: Tree(root).snakemake()))


@pytest.fixture(scope="session")
def settled(built, tmp_path_factory) -> Tree:
    """The same tree, of which DVC knows as well: it took all from the store. Work in a copy."""

    def settle(root):
        tree = built.copy(root)
        ran, worked = tree.build("dvc")
        assert ran and worked == set()
        assert tree.results() == built.results()

    return Tree.at(made_once(tmp_path_factory.getbasetemp(), "settled", settle))


def pytest_collection_modifyitems(items):
    """One thread; and long tests begin on two workers at once, none is left for one at the end."""
    import torch

    torch.set_num_threads(1)
    long = [item for item in items if item.get_closest_marker("engine")]
    rest = [item for item in items if item not in set(long)]
    half = len(rest) // 2
    items[:] = [*long[0::2], *rest[:half], *long[1::2], *rest[half:]]


def pytest_terminal_summary(terminalreporter, config):
    golden_data = sys.modules.get("golden_data")
    if golden_data and golden_data.DEVIATIONS and config.getoption("capture") == "no":
        terminalreporter.section("largest deviation from the golden numbers")
        golden_data.table(terminalreporter.write_line)
