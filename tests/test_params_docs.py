"""docs/parameters.md says what the typed parameters say."""

from pathlib import Path

from dpc.params.docs import page
from dpc.params.load import complete_defaults, description_for

PAGE = Path(__file__).parents[1] / "docs" / "parameters.md"


def leaves(values, description, prefix=""):
    """Every key; what lies under a name of the user's own is one key with NAME in it."""
    for key, value in values.items():
        inner = description["fields"][key]
        if inner["kind"] == "section" and value:
            yield from leaves(value, inner, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}"
        if inner["kind"] == "mapping" and inner["value"]["kind"] == "section":
            for block in value.values():
                yield from leaves(block, inner["value"], f"{prefix}{key}.NAME.")


def test_the_page_is_what_the_parameters_generate():
    fix = "run: python -m dpc.params.docs > docs/parameters.md"
    assert PAGE.read_text(encoding="utf-8") == page(), fix


def test_every_key_of_a_complete_file_has_a_row():
    text = page()
    values = complete_defaults()
    keys = list(leaves(values, description_for(values)))
    assert "sweeps.NAME.points" in keys
    assert [key for key in keys if f"| `{key}` |" not in text] == []


def test_every_row_has_a_meaning():
    rows = [line for line in page().splitlines() if line.startswith("| `")]
    assert len(rows) > 40
    assert [row for row in rows if any(not cell.strip() for cell in row[1:-1].split(" | "))] == []
