"""Images as a person names them on a command line: files and folders."""

import difflib
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from dpc.datasets.folders import SUFFIXES, images_below, readable
from dpc.errors import DpcError
from dpc.files import is_file, is_folder

_URL = re.compile(r"[a-zA-Z][a-zA-Z0-9+.-]+://")


def named_images(given: Sequence[str]) -> list[Path]:
    """Every image that the arguments name, each once: a file whatever its suffix, and of a folder
    all images below it by their suffix, sorted.

    Raises:
        DpcError: one line for each argument that is an address, is missing, or is a folder without
            images.
    """
    found: list[Path] = []
    problems = []
    for argument in given:
        try:
            found += _images_of(argument)
        except DpcError as problem:
            problems.append(str(problem))
    if problems:
        raise DpcError("\n".join(problems))
    return list(dict.fromkeys(found))


def _images_of(argument: str) -> Iterator[Path]:
    path = Path(argument)
    if _URL.match(argument):
        raise DpcError(f"{argument}: dpc reads no URLs; download it first, then name the file")
    readable(argument, path.parent)
    if is_file(path):
        yield path
        return
    if not is_folder(path):
        raise DpcError(f"{argument} {_missing(path)}")
    below = sorted(image for image, _ in images_below(path) if image)
    if not below:
        raise DpcError(f"folder {argument} and those in it hold no image ({' '.join(SUFFIXES)})")
    yield from (path / image for image in below)


def _missing(path: Path) -> str:
    """What is wrong with a path that is neither a file nor a folder, and what it may have meant."""
    if os.path.exists(path):  # noqa: PTH110 - a name that is too long is none
        return "is neither a file nor a folder"
    if not is_folder(path.parent):
        return f"is missing: there is no folder {path.parent}"
    if os.path.islink(path):  # noqa: PTH114 - as above
        return "is a link that leads nowhere; name the image itself"
    there = sorted(os.listdir(path.parent))  # noqa: PTH208 - names, not paths
    near = [str(path.parent / name) for name in difflib.get_close_matches(path.name, there)]
    return f"is missing; near it: {', '.join(near)}" if near else "is missing"
