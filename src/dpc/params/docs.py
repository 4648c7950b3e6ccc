"""docs/parameters.md out of the typed parameters; ``python -m dpc.params.docs`` prints it."""

import sys
from collections.abc import Iterator
from typing import Any

from dpc.params.check import allowed
from dpc.params.render import scalar
from dpc.params.schema import Description

INTRODUCTION = """\
# Parameters

Every number of an experiment stands in `params.yaml`, once. `dpc params > params.yaml` writes a
complete, commented file, `dpc params --preset NAME` another preset (`dpc list` names them), and
`dpc check` says whether the file is fine. A key that is missing, unknown or out of range is named
together with the fix, all at once, before anything runs.

To try a value without touching the file, give it to a stage:
`dpc evaluate --dataset icons-tabler --backbone coop --seeds 1 dpc.weight=0.5`. The result goes to a
scratch folder below `.cache/`.

The defaults below are those of the sources named beside them; presets change some of them. This
page is generated: `python -m dpc.params.docs > docs/parameters.md`.
"""
HEADER = "| key | default | allowed | meaning |\n|---|---|---|---|"


def page() -> str:
    """The whole page, in Markdown."""
    from dpc.backbones import BACKBONES
    from dpc.params.load import description_for

    whole = description_for({"run": {"backbones": list(BACKBONES)}})
    leaves, sections = _split(whole)
    blocks = [INTRODUCTION, _block("General", "", leaves, "")]
    blocks += [part for name, inner in sections for part in _section(name, inner)]
    return "\n".join(blocks)


def _section(path: str, description: Description) -> Iterator[str]:
    """A heading and a table, then the same for the sections inside."""
    leaves, sections = _split(description)
    yield _block(f"`{path}`", description.get("doc", ""), leaves, f"{path}.")
    for name, inner in sections:
        yield from _section(f"{path}.{name}", inner)


def _split(description: Description) -> tuple[list[tuple[str, Any]], list[tuple[str, Any]]]:
    """The fields that hold a value, and those that hold fields of their own."""
    leaves: list[tuple[str, Any]] = []
    sections: list[tuple[str, Any]] = []
    for name, inner in description["fields"].items():
        whole = inner["kind"] == "section" and not inner.get("partial")
        (sections if whole else leaves).append((name, inner))
    return leaves, sections


def _block(heading: str, doc: str, leaves: list[tuple[str, Any]], prefix: str) -> str:
    lines = [f"## {heading}", ""]
    if doc:
        lines += [doc, ""]
    if leaves:
        lines += [HEADER, *_rows(leaves, prefix), ""]
    return "\n".join(lines)


def _rows(leaves: list[tuple[str, Any]], prefix: str) -> Iterator[str]:
    for name, inner in leaves:
        meaning = inner.get("doc", "")
        if inner.get("source"):
            meaning += f" Source: {inner['source']}."
        cells = (f"`{prefix}{name}`", _default(inner), _allowed(inner), meaning)
        yield "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
        if inner["kind"] == "mapping" and _names_blocks(inner):
            yield from _rows(list(inner["value"]["fields"].items()), f"{prefix}{name}.NAME.")


def _default(description: Description) -> str:
    """A value; of blocks by name, the names alone."""
    value = description["default"]
    if description["kind"] == "mapping" and _names_blocks(description) and value:
        return ", ".join(f"`{name}`" for name in value)
    return f"`{scalar(value)}`"


def _allowed(description: Description) -> str:
    if description["kind"] == "list":
        different = ", all different" if description.get("unique") else ""
        return f"list, each {allowed(description | {'nullable': False})}{different}"
    if description["kind"] == "mapping":
        if description["value"]["kind"] == "leaf":
            return f"{allowed(description['value'])} for each name"
        return "a block for each name" if _names_blocks(description) else "some keys of others"
    return "some keys of its block" if description.get("partial") else allowed(description)


def _names_blocks(mapping: Description) -> bool:
    """Whether a mapping holds blocks whose keys stand nowhere else."""
    return mapping["value"]["kind"] == "section" and not mapping["value"].get("partial")


if __name__ == "__main__":
    sys.stdout.write(page())
