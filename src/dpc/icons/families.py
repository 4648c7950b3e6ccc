"""Which installed package files hold which named drawings; no such package is imported."""

import hashlib
import json
import re
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Literal

from dpc.errors import DpcError

Role = Literal["pretraining", "downstream"]


@dataclass(frozen=True)
class Font:
    """A font file and the file that names its code points.

    ``names`` says how the latter is written: "json" ({name: hex code}), "codepoints" (a line
    "name hex"), or "css" (rules ``.<prefix>name:before { content: "\\hex" }``,
    the prefix a regular expression). Where a family draws an icon once a size ("home-24-filled"),
    ``sizes`` lists the sizes by preference and only the first that exists is kept.
    """

    file: str
    charmap: str
    names: Literal["json", "codepoints", "css"] = "json"
    prefix: str = ""
    sizes: tuple[int, ...] = ()


@dataclass(frozen=True)
class Svgs:
    """SVG files: a folder of them, or a zip that holds them."""

    path: str


@dataclass(frozen=True)
class Family:
    """Drawings of one hand.

    ``style`` is what every drawing looks like where its name does not tell ("outline", "filled",
    "sharp", "round" or "").
    """

    package: str
    version: str
    sources: tuple[Font | Svgs, ...]
    role: Role
    drawings: str
    licence: str
    style: str = ""


_QT = "qtawesome/fonts/"
_PY = "iconipy/assets/"


def _qtawesome(stem: str, version: str, charmap: str, drawings: str, licence: str, role: Role,
               style: str = "") -> Family:  # fmt: skip
    font = Font(f"{_QT}{stem}-{version}.ttf", f"{_QT}{charmap}-{version}.json")
    return Family("QtAwesome", "1.4.2", (font,), role, drawings, licence, style)


def _material(folder: str, file: str, style: str) -> Family:
    stem = f"{_PY}{folder}/{file.rsplit('.', 1)[0]}"
    source = Font(f"{_PY}{folder}/{file}", f"{stem}.codepoints", "codepoints")
    return Family("iconipy", "0.5.1", (source,), "pretraining", "Google Material Icons",
                  "Apache-2.0", style)  # fmt: skip


FAMILIES: dict[str, Family] = {
    "mdi": _qtawesome("materialdesignicons6-webfont", "6.9.96",
                      "materialdesignicons6-webfont-charmap", "Material Design Icons 6.9.96",
                      "Apache-2.0", "pretraining"),
    "fontawesome": _qtawesome("fontawesome6-solid-webfont", "6.7.2",
                              "fontawesome6-solid-webfont-charmap", "Font Awesome Free 6.7.2",
                              "CC-BY-4.0 (drawings), OFL-1.1 (font)", "pretraining", "filled"),
    "fontawesome-regular": _qtawesome("fontawesome6-regular-webfont", "6.7.2",
                                      "fontawesome6-regular-webfont-charmap",
                                      "Font Awesome Free 6.7.2",
                                      "CC-BY-4.0 (drawings), OFL-1.1 (font)", "pretraining",
                                      "outline"),
    "codicon": _qtawesome("codicon", "0.0.36", "codicon-charmap",
                          "Visual Studio Code Codicons 0.0.36", "CC-BY-4.0", "pretraining"),
    "elusive": _qtawesome("elusiveicons-webfont", "2.0", "elusiveicons-webfont-charmap",
                          "Elusive Icons 2.0", "OFL-1.1", "pretraining"),
    "material": _material("material_icons_regular", "MaterialIcons-Regular.ttf", "filled"),
    "material-outlined": _material("material_icons_outlined_regular",
                                   "MaterialIconsOutlined-Regular.otf", "outline"),
    "material-round": _material("material_icons_round_regular",
                                "MaterialIconsRound-Regular.otf", "round"),
    "material-sharp": _material("material_icons_sharp_regular",
                                "MaterialIconsSharp-Regular.otf", "sharp"),
    "boxicons": Family("iconipy", "0.5.1",
                       (Font(f"{_PY}boxicons/boxicons.ttf", f"{_PY}boxicons/boxicons.css",
                             "css", "bx(?=s?-)"),), "pretraining", "Boxicons", "MIT"),
    "lineicons": Family("iconipy", "0.5.1",
                        (Font(f"{_PY}lineicons/lineicons.ttf",
                              f"{_PY}lineicons/unicodesMap.json"),),
                        "pretraining", "Lineicons", "MIT"),
    "typicons": Family("iconipy", "0.5.1",
                       (Font(f"{_PY}typicons/typicons.ttf", f"{_PY}typicons/typicons.css",
                             "css", "typcn-"),), "pretraining", "Typicons", "OFL-1.1"),
    "lucide": Family("lucide", "1.1.4", (Svgs("lucide/lucide.zip"),), "pretraining",
                     "Lucide", "ISC", "outline"),
    "heroicons": Family("heroicons", "2.14.0", (Svgs("heroicons/heroicons.zip"),),
                        "pretraining", "Heroicons", "MIT"),
    "ionicons": Family("ionicons-python", "1.0.3", (Svgs("ionicons_python/icons"),),
                       "pretraining", "Ionicons", "MIT"),
    "tabler": Family("tablerpy", "0.2.0",
                     (Svgs("tablerpy/icons/outline"), Svgs("tablerpy/icons/filled")),
                     "downstream", "Tabler Icons", "MIT"),
    "phosphor": _qtawesome("phosphor", "1.3.0", "phosphor-charmap", "Phosphor Icons 1.3",
                           "MIT", "downstream"),
    "remix": _qtawesome("remixicon", "2.5.0", "remixicon-charmap", "Remix Icon 2.5",
                        "Apache-2.0", "downstream"),
    "bootstrap": Family("django-js-lib-bootstrap-icons", "1.11.3.0",
                        (Svgs("js_lib_bootstrap_icons/static/bootstrap-icons"),),
                        "downstream", "Bootstrap Icons 1.11.3", "MIT"),
    "fluent": Family("tkinter-icons-fluent", "1.1.1",
                     tuple(Font(f"tkinter_icons_fluent/fonts/FluentSystemIcons-{style.title()}.ttf",
                                f"tkinter_icons_fluent/glyphmap-{style}.json",
                                sizes=(24, 20, 28, 32, 16, 48, 12, 10))
                           for style in ("regular", "filled")),
                     "downstream", "Fluent System Icons", "MIT"),
}  # fmt: skip


def family(name: str) -> Family:
    """The family of that name; DpcError names the known ones."""
    if name not in FAMILIES:
        raise DpcError(f"unknown icon family {name!r}; known: {', '.join(FAMILIES)}")
    return FAMILIES[name]


def locate(name: str, path: str) -> Path:
    """Where a file (or folder) of a family's package lies, by its path inside the package.

    Raises:
        DpcError: the package is missing, of another version (names and drawings move between
            versions, so the data sets would differ silently), or lacks the file.
    """
    item = family(name)
    fix = f"pip install {item.package}=={item.version}"
    try:
        found = distribution(item.package)
    except PackageNotFoundError:
        raise DpcError(f"icon family {name!r} needs the package {item.package}: {fix}") from None
    if found.version != item.version:
        raise DpcError(
            f"icon family {name!r} needs {item.package} {item.version}, installed is "
            f"{found.version}: {fix}"
        )
    place = Path(str(found.locate_file(path)))
    if not place.exists():
        raise DpcError(f"icon family {name!r}: {place} is missing: {fix} --force-reinstall")
    return place


def code_points(name: str, font: Font) -> dict[str, int]:
    """Name -> code point of a font's glyphs, in the order of its list."""
    text = locate(name, font.charmap).read_text(encoding="utf-8")
    if font.names == "json":
        codes = {k: v if isinstance(v, int) else int(v, 16) for k, v in json.loads(text).items()}
    elif font.names == "codepoints":
        codes = {key: int(value, 16) for key, value in map(str.split, text.splitlines())}
    else:
        rule = rf"\.{font.prefix}([a-z0-9-]+):+before\s*\{{[^}}]*content:\s*[\"']\\([0-9a-fA-F]+)"
        codes = {key.lstrip("-"): int(value, 16) for key, value in re.findall(rule, text)}
    return _one_size(codes, font.sizes) if font.sizes else codes


def _one_size(codes: dict[str, int], sizes: tuple[int, ...]) -> dict[str, int]:
    """Keep each icon once: at the first of ``sizes`` it is drawn in."""
    best: dict[str, tuple[int, str]] = {}
    for key in codes:
        for rank, size in enumerate(sizes):
            icon = re.sub(rf"-{size}(?=-|$)", "", key)
            if icon != key:
                best[icon] = min(best.get(icon, (rank, key)), (rank, key))
                break
    return {key: codes[key] for _, key in best.values()}


def svg_texts(name: str, source: Svgs) -> Iterator[tuple[str, str]]:
    """(name, SVG text) of a folder or a zip, sorted by name; the zip's subfolder is a style."""
    place = locate(name, source.path)
    if place.suffix == ".zip":
        with zipfile.ZipFile(place) as archive:
            for entry in sorted(archive.namelist()):
                if entry.endswith(".svg"):
                    yield entry[:-4].replace("/", "-"), archive.read(entry).decode()
        return
    for file in sorted(place.glob("*.svg")):
        yield (
            f"{place.name}-{file.stem}" if place.name in ("outline", "filled") else file.stem,
            (file.read_text(encoding="utf-8")),
        )


def source_hashes(name: str) -> dict[str, str]:
    """Path inside the package -> sha256 of every file that a family is drawn from.

    A folder of SVG files counts as one entry, "folder/*.svg": the hash over its names and texts.
    """
    hashes = {}
    for source in family(name).sources:
        paths = [source.path] if isinstance(source, Svgs) else [source.file, source.charmap]
        for path in paths:
            place = locate(name, path)
            if place.is_dir():
                hashes[f"{path}/*.svg"] = _folder_hash(place)
            else:
                hashes[path] = hashlib.sha256(place.read_bytes()).hexdigest()
    return hashes


def _folder_hash(folder: Path) -> str:
    digest = hashlib.sha256()
    for file in sorted(folder.glob("*.svg")):
        content = hashlib.sha256(file.read_bytes()).hexdigest()
        digest.update(f"{content}  {file.name}\n".encode())
    return digest.hexdigest()
