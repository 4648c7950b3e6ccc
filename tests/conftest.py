"""One thread, the golden CLIP, and the table of golden deviations of ``pytest -s``."""

import golden_data
import pytest
import torch

torch.set_num_threads(1)


@pytest.fixture(scope="session")
def student():
    """The golden CLIP with its shortcuts."""
    return golden_data.load_student()


@pytest.fixture(scope="session")
def slow_student():
    """The golden CLIP without shortcuts."""
    return golden_data.load_student(shortcuts=False)


@pytest.fixture()
def generator():
    return torch.Generator().manual_seed(20250101)


def pytest_terminal_summary(terminalreporter, config):
    if golden_data.DEVIATIONS and config.getoption("capture") == "no":
        terminalreporter.section("largest deviation from the golden numbers")
        golden_data.table(terminalreporter.write_line)
