"""Parameters of a project whose published datasets lie in some folder."""

from dataclasses import replace
from functools import cache
from pathlib import Path

from composed import preset

from dpc.params.load import checked
from dpc.params.sections import Params


def params(root: Path, **where: Path) -> Params:
    """The smoke preset with ``root`` as data.root and ``where`` as data.places."""
    places = {name: str(folder) for name, folder in where.items()}
    return replace(_smoke(), data=replace(_smoke().data, root=str(root), places=places))


@cache
def _smoke() -> Params:
    return checked(preset("smoke"))
