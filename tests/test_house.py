"""The rooms of the house: who may import whom, and what must stay light."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import dpc
from dpc.backbones import BACKBONES

SOURCE = Path(dpc.__file__).parent
# Each room may import rooms to its left, and itself.
ROOMS = [
    "datasets",
    "clip",
    "baselines",
    "backbones",
    "collaboration",
    "evaluation",
    "report",
    "exchange",
    "stages",
    "doctor",
]
LIGHT = [
    "dpc.params",
    "dpc.params.load",
    "dpc.cli",
    "dpc.artifacts",
    "dpc.clip.spec",
    "dpc.clip.anatomy",
]


def modules(room):
    return sorted((SOURCE / room).rglob("*.py"))


def imported(path):
    """Dotted names of every ``dpc`` import in a file, wherever it stands."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: write imports from the top, from dpc…"
            yield node.module or ""
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@pytest.mark.parametrize("room", ROOMS)
def test_rooms_import_only_from_their_left(room):
    forbidden = [*ROOMS[ROOMS.index(room) + 1 :], "cli"]
    for path in modules(room):
        for name in imported(path):
            parts = name.split(".")
            if parts[0] == "dpc" and len(parts) > 1:
                assert parts[1] not in forbidden, f"{path.relative_to(SOURCE)} imports {name}"


def test_the_loop_knows_no_room():
    for name in ("training.py", "errors.py"):
        for found in imported(SOURCE / name):
            assert not found.startswith("dpc.") or found.startswith("dpc.errors"), found


@pytest.mark.parametrize("room", ["clip", "collaboration", "evaluation"])
def test_no_backbone_is_named_outside_its_own_room(room):
    names = {*BACKBONES, "CoOp", "MaPLe", "PromptSRC", "PromptKD", "maple", "promptsrc", "promptkd"}
    for path in modules(room):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            words = set()
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                words = {node.value} if " " not in node.value else set()
            elif isinstance(node, ast.Name):
                words = {node.id}
            elif isinstance(node, ast.Attribute):
                words = {node.attr}
            elif isinstance(node, ast.alias):
                words = set(node.name.split("."))
            elif isinstance(node, ast.ImportFrom):
                words = set((node.module or "").split("."))
            assert not words & names, f"{path.relative_to(SOURCE)} names {words & names}"


def test_no_backbone_is_even_mentioned_in_collaboration():
    for path in modules("collaboration"):
        text = path.read_text(encoding="utf-8").lower()
        for name in ("coop", "maple", "promptsrc", "promptkd"):
            assert name not in text, f"{path.relative_to(SOURCE)} mentions {name}"


def exists(module):
    path = SOURCE.joinpath(*module.split(".")[1:])
    return path.with_suffix(".py").is_file() or (path / "__init__.py").is_file()


@pytest.mark.parametrize("module", [name for name in LIGHT if exists(name)])
def test_light_modules_import_no_torch(module):
    code = (
        f"import sys, {module};"
        "print(sorted({'torch', 'torchvision', 'open_clip', 'scipy', 'matplotlib'}"
        " & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]", module


@pytest.mark.parametrize("path", sorted(SOURCE.rglob("*.py")), ids=lambda p: str(p.name))
def test_files_stay_short_and_catch_nothing_blindly(path):
    text = path.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 300, path
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.ExceptHandler):
            caught = ast.unparse(node.type) if node.type else "everything"
            assert caught not in ("everything", "Exception", "BaseException"), path
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            length = (node.end_lineno or node.lineno) - node.lineno + 1
            assert length <= 60, f"{path.relative_to(SOURCE)}: {node.name} has {length} lines"
