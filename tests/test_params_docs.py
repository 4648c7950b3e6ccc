"""docs/parameters.md says what the typed parameters say."""

from pathlib import Path

from dpc.params.docs import page
from dpc.params.load import complete_defaults

PAGE = Path(__file__).parents[1] / "docs" / "parameters.md"


def leaves(values, prefix=""):
    for key, value in values.items():
        if isinstance(value, dict) and value:
            yield from leaves(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}"


def test_the_page_is_what_the_parameters_generate():
    fix = "run: python -m dpc.params.docs > docs/parameters.md"
    assert PAGE.read_text(encoding="utf-8") == page(), fix


def test_every_key_of_a_complete_file_has_a_row():
    text = page()
    assert [key for key in leaves(complete_defaults()) if f"| `{key}` |" not in text] == []


def test_every_row_has_a_meaning():
    rows = [line for line in page().splitlines() if line.startswith("| `")]
    assert len(rows) > 40
    assert [row for row in rows if any(not cell.strip() for cell in row[1:-1].split(" | "))] == []
