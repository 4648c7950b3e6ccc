"""The version of a stage's code: the hash of the modules of this package that it really uses.

The closure is read from the import statements, those inside functions included. Modules that only
carry values, files and messages around (``PLUMBING``) cannot change a number and do not count: else
a clearer error message would train everything again. A backbone is found by name, not imported, so
its module is given as one more root and its file counts for its own cells alone.
"""

import ast
from collections.abc import Iterable
from contextlib import suppress
from functools import cache
from importlib import metadata
from pathlib import Path

from dpc.files import digest

PACKAGE = Path(__file__).parent
PLUMBING = (
    "dpc",
    "dpc.artifacts",
    "dpc.backbones",
    "dpc.cli",
    "dpc.commands",
    "dpc.clip.spec",
    "dpc.conf",
    "dpc.datasets",
    "dpc.devices",
    "dpc.errors",
    "dpc.exchange.importing",
    "dpc.files",
    "dpc.gpus",
    "dpc.hashes",
    "dpc.params",
    "dpc.params.*",
    "dpc.prefetch",
    "dpc.progress",
    "dpc.provenance",
    "dpc.stages",
    "dpc.stages.activations",
    "dpc.stages.checkpoints",
    "dpc.stages.cells",
    "dpc.stages.dry_run",
    "dpc.stages.estimate",
    "dpc.stages.imported",
    "dpc.stages.inputs",
    "dpc.stages.layout",
    "dpc.stages.machine",
    "dpc.stages.plan",
    "dpc.stages.runner",
    "dpc.stages.side_by_side",
    "dpc.stages.slice_files",
    "dpc.stages.slices",
    "dpc.store",
)
LIBRARIES = ("torch", "open_clip_torch", "timm", "numpy", "pillow")
WORDS = ("transformers", "tokenizers")  # read words for some CLIPs, where they are installed


def code_version(*roots: str) -> str:
    """Hash of the files in the import closure of ``roots`` (module names), without plumbing."""
    paths = (module_path(module) for module in closure(roots) if not _is_plumbing(module))
    files = {path for path in paths if path is not None}
    for folder in {path.parent for path in files}:
        files.update(_data_in(folder))
    parts = [f"{path.name} {digest(path.read_bytes())}" for path in files]
    return digest("\n".join(sorted(parts)))[:16]


def closure(roots: Iterable[str]) -> set[str]:
    """Every module of this package that ``roots`` import, directly or through others; the walk
    ends at plumbing."""
    found: set[str] = set()
    waiting = list(roots)
    while waiting:
        module = waiting.pop()
        if module not in found and module_path(module) is not None:
            found.add(module)
            # What plumbing imports, it carries around: a stage that uses it imports it itself.
            waiting += [] if _is_plumbing(module) else _imports(module)
    return found


def _data_in(folder: Path) -> list[Path]:
    """Files of a module's folder that are read, not imported: a page's template. Of this package
    alone: what lies beside a module of somebody else's is not known to be code."""
    if not folder.is_relative_to(PACKAGE) or folder == PACKAGE:
        return []
    return [p for p in folder.iterdir() if p.suffix not in (".py", ".pyc") and p.is_file()]


def library_versions() -> dict[str, str]:
    """Versions of the libraries that a number may depend on, by package name."""
    found = {name: metadata.version(name) for name in LIBRARIES}
    for name in WORDS:
        with suppress(metadata.PackageNotFoundError):
            found[name] = metadata.version(name)
    return found


@cache
def module_path(module: str) -> Path | None:
    """The file of a module of this package, or of an importable one outside; None: no module."""
    if module == "dpc" or module.startswith("dpc."):
        base = PACKAGE.joinpath(*module.split(".")[1:])
        for candidate in (base / "__init__.py", base.with_suffix(".py")):
            if candidate.is_file():
                return candidate
        return None
    from importlib.util import find_spec

    try:
        spec = find_spec(module)
    except (ImportError, ValueError):
        return None
    return Path(spec.origin) if spec is not None and spec.origin else None


@cache
def _imports(module: str) -> tuple[str, ...]:
    """Names that a module imports anywhere in its text, of this package and of the module's own.

    The module of an outside backbone may lean on its neighbours: they count as it does.
    """
    path = module_path(module)
    own, parent = module.partition(".")[0], module.rpartition(".")[0]
    package = module if path is not None and path.name == "__init__.py" else parent
    found = [parent] if own != "dpc" else []  # this package's own __init__ files say nothing
    for node in ast.walk(ast.parse(path.read_bytes() if path is not None else b"")):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: 1 - node.level or None] if node.level else []
            base = ".".join([*above, *([node.module] if node.module else [])])
            found.append(base)
            found += [f"{base}.{alias.name}" for alias in node.names]
    return tuple(
        name
        for name in found
        if name.partition(".")[0] == "dpc" or (name.partition(".")[0] == own and _has_file(name))
    )


def _has_file(module: str) -> bool:
    """Whether an outside package holds a module, seen by its files: ``find_spec`` of what turns
    out to be a class would run the module that it stands in."""
    from importlib.util import find_spec

    top, *rest = module.split(".")
    spec = find_spec(top)
    folders = spec.submodule_search_locations if spec is not None else None
    places = [Path(folder, *rest) for folder in folders or ()]
    return any(place.is_dir() or place.with_suffix(".py").is_file() for place in places)


def _is_plumbing(module: str) -> bool:
    return any(
        module == name or (name.endswith(".*") and module.startswith(name[:-1]))
        for name in PLUMBING
    )
