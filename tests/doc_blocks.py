"""The code blocks of the README and the docs, and what can be wrong with a command in them.

A shell block is run by tests/test_docs.py unless the line above it says otherwise:
`<!-- run by tests/FILE.py -->`, where that file takes its lines from `run_by`, or
`<!-- not run: REASON -->`.
"""

import argparse
import contextlib
import functools
import io
import re
import shlex
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path

from tree import REPOSITORY

from dpc.backbones import BACKBONES
from dpc.baselines import BASELINES
from dpc.cli import command_parser
from dpc.datasets import EMBEDDED, PUBLISHED
from dpc.errors import DpcError
from dpc.params.load import checked, compose, preset, presets

PAGES = [REPOSITORY / "README.md", *sorted((REPOSITORY / "docs").glob("*.md"))]
PROGRAMS = ("dpc", "dvc", "snakemake", "make", "python", "pytest")
UNCHECKED = ("git", "pip", "python3.11", "source", ".")
PLACEHOLDER = re.compile(r"…|\b[A-Z]{3,}\b")
SECTIONS = "run|data|clip|optimizer|backbones|teacher|dpc|baselines|sweeps|imported"
KEY = re.compile(rf"((?:{SECTIONS})(?:\.\w+)+)(?:(?:=|: ).*)?")


@dataclass(frozen=True)
class Block:
    """One fenced block: where it begins, its language, the mark above it, its lines."""

    page: str
    line: int
    language: str
    mark: str
    lines: tuple[str, ...]

    @property
    def where(self) -> str:
        return f"{self.page}:{self.line}"


def blocks(text: str, page: str) -> list[Block]:
    """The fenced blocks of a page."""
    found, above, inside = [], "", None
    for number, line in enumerate(text.splitlines(), 1):
        if not line.startswith("```"):
            if inside is None:
                above = line
            else:
                inside[1].append(line)
        elif inside is None:
            inside = (number, [], line[3:])
        else:
            mark = re.fullmatch(r"<!-- (not run: .+|run by tests/\w+\.py) -->", above)
            found.append(
                Block(page, inside[0], inside[2], mark[1] if mark else "", tuple(inside[1]))
            )
            above, inside = line, None
    return found


def all_blocks() -> list[Block]:
    return [
        block
        for path in PAGES
        for block in blocks(path.read_text(encoding="utf-8"), page_name(path))
    ]


def run_by(test: str) -> list[Block]:
    """The blocks that are marked as run by a file of tests: ``run_by(__file__)``."""
    return [block for block in all_blocks() if block.mark == f"run by tests/{Path(test).name}"]


def words_of(block: Block) -> list[list[str]]:
    """Its lines, split as a shell does."""
    return [shlex.split(line, comments=True) for line in block.lines]


def page_name(path: Path) -> str:
    return path.relative_to(REPOSITORY).as_posix()


def spans(text: str) -> Iterator[str]:
    """What stands between backticks, outside of fenced blocks."""
    prose = re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)
    yield from (" ".join(span.split()) for span in re.findall(r"`([^`]+)`", prose))


def simple_commands(line: str) -> list[list[str]]:
    """The commands of a shell line, without comments, `NAME=value` before them and redirections."""
    line = re.sub(r"\$\([^)]*\)", "OUTPUT", line)
    lexer = shlex.shlex(line, posix=True, punctuation_chars="|&;<>")
    lexer.whitespace_split = True
    commands: list[list[str]] = [[]]
    for word in lexer:
        if word in ("|", "&&", ";", "||"):
            commands.append([])
        elif commands[-1] or not re.match(r"[A-Z_]+=", word):
            commands[-1].append(word)
    return [command for command in commands if command]


def wrong(line: str) -> list[str]:
    """What is wrong with a line of a shell block, in words."""
    return [problem for command in simple_commands(line) for problem in _wrong_command(command)]


def _wrong_command(words: list[str]) -> list[str]:
    program, arguments = words[0], words[1:]
    if program == "srun":
        inner = next(i for i, word in enumerate(arguments) if word in PROGRAMS)
        return _wrong_command(arguments[inner:])
    if program in UNCHECKED:
        return []
    known: dict[str, Callable[[list[str]], list[str]]] = {
        "dpc": _wrong_dpc,
        "dvc": _wrong_dvc,
        "snakemake": _wrong_snakemake,
        "make": _wrong_make,
        "python": _wrong_python,
        "pytest": _wrong_pytest,
    }
    return known[program](arguments) if program in known else [f"{program} is no program of ours"]


def _wrong_dpc(arguments: list[str]) -> list[str]:
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            options = command_parser().parse_args(arguments)
    except SystemExit:
        return [said.getvalue().strip().splitlines()[-1]]
    return [*_wrong_names(options), *_wrong_overrides(options)]


def _wrong_names(options: argparse.Namespace) -> list[str]:
    """Datasets and backbones that do not exist."""
    datasets = _list(getattr(options, "dataset", ())) + _list(getattr(options, "names", ()))
    backbones = _list(getattr(options, "backbone", ()))
    own = {"own", "kgcoop", "mine", "teacher"}
    return [
        f"there is no {name}"
        for names, known in (
            (datasets, EMBEDDED | PUBLISHED),
            (backbones, [*BACKBONES, *BASELINES]),
        )
        for name in names
        if name not in known and name not in own
    ]


def _list(value: str | list[str] | None) -> list[str]:
    return [value] if isinstance(value, str) and value else list(value or ())


def _wrong_overrides(options: argparse.Namespace) -> list[str]:
    name = getattr(options, "preset", "icons")
    if name not in presets():
        return [f"there is no preset {name}"]
    return list(_problems(name, *getattr(options, "overrides", ())))


@functools.cache
def _problems(name: str, *overrides: str) -> tuple[str, ...]:
    """What is wrong with overrides of a preset, by Hydra and by our own checks."""
    if not overrides:
        return ()
    try:
        values = compose(_preset(name), overrides, name)
        if not any(".class=" in override for override in overrides):  # a file of the reader's
            checked(values, name)
    except DpcError as problem:
        return tuple(str(problem).splitlines())
    return ()


_preset = functools.cache(preset)


def _wrong_dvc(arguments: list[str]) -> list[str]:
    values = [after for flag, after in pairwise(arguments) if flag == "-S"]
    problems = []
    for value in values:
        key, _, choices = value.partition("=")
        for choice in choices.split(","):
            problems += _problems("icons", f"{key}={choice}")
    return problems


def _wrong_snakemake(arguments: list[str]) -> list[str]:
    problems = []
    for flag, after in pairwise(arguments):
        if flag == "--workflow-profile" and not (REPOSITORY / after).is_dir():
            problems.append(f"there is no profile {after}")
    takes_one = ("--cores", "--workflow-profile", "--resources", "--rerun-triggers", "--jobs")
    targets = [
        word
        for before, word in zip(["", *arguments], arguments, strict=False)
        if not word.startswith("-") and before not in takes_one
    ]
    return problems + [f"there is no target {name}" for name in targets if name != "all"]


def _wrong_make(arguments: list[str]) -> list[str]:
    makefile = (REPOSITORY / "Makefile").read_text(encoding="utf-8")
    targets = re.search(r"^\.PHONY: (.*)$", makefile, re.MULTILINE)[1].split()
    problems = []
    for word in arguments:
        name, is_variable, _ = word.partition("=")
        if is_variable and not re.search(rf"\b{name}\b", makefile):
            problems.append(f"the Makefile does not know {name}")
        if not is_variable and word not in targets:
            problems.append(f"there is no target {word}")
    return problems


def _wrong_python(arguments: list[str]) -> list[str]:
    if arguments[0] == "-m":
        return [] if find_spec(arguments[1]) else [f"there is no module {arguments[1]}"]
    return [] if (REPOSITORY / arguments[0]).is_file() else [f"there is no {arguments[0]}"]


def _wrong_pytest(arguments: list[str]) -> list[str]:
    files = [word for word in arguments if word.startswith("tests/")]
    return [f"there is no {name}" for name in files if not (REPOSITORY / name).is_file()]


def wrong_span(span: str) -> list[str]:
    """What is wrong with words in backticks: a command, a parameter, a module or a path."""
    if PLACEHOLDER.search(span) or not span.strip():
        return []
    if key := KEY.fullmatch(span):
        return [] if is_key(key[1]) or _is_module(key[1]) else [f"{key[1]} is no parameter"]
    if re.fullmatch(r"(?:src|docs|tests|workflow|benchmarks|profiles)/[\w./-]+", span):
        return [] if (REPOSITORY / span).exists() else [f"there is no {span}"]
    if not re.match(rf"(?:{'|'.join(PROGRAMS)}) [a-z-]", span):
        return []
    words = simple_commands(span)[0]
    return _wrong_options(words[1:]) if words[0] == "dpc" else _wrong_command(words)


def _wrong_options(arguments: list[str]) -> list[str]:
    """Options that a command of ours lacks; its needed ones may be left out in prose."""
    (commands,) = (a for a in command_parser()._actions if a.choices and a.dest == "command")
    if arguments[0] not in commands.choices:
        return [f"there is no dpc {arguments[0]}"]
    known = commands.choices[arguments[0]]._option_string_actions
    return [
        f"dpc {arguments[0]} has no {word}"
        for word in arguments[1:]
        if word.startswith("--") and word not in known
    ]


@functools.cache
def _documented() -> frozenset[str]:
    text = (REPOSITORY / "docs/parameters.md").read_text(encoding="utf-8")
    return frozenset(re.findall(r"^\| `([\w.]+)` \|", text, re.MULTILINE))


def is_key(key: str) -> bool:
    """Whether docs/parameters.md has the key, a section of that name, or blocks by the reader's
    names below which it lies."""
    parts = key.split(".")
    if any(name == key or name.startswith(f"{key}.") for name in _documented()):
        return True
    for depth in range(1, len(parts)):
        mapping = ".".join(parts[:depth])
        rest = ".".join(["NAME", *parts[depth + 1 :]])
        if f"{mapping}.{rest}" in _documented():
            return True
        if mapping in _documented():  # blocks of keys that stand elsewhere
            return not any(name.startswith(f"{mapping}.NAME") for name in _documented())
    return parts[0] == "backbones" and parts[1] in ("kgcoop", "mine")


def _is_module(name: str) -> bool:
    if not name.startswith("dpc."):
        return False
    path = REPOSITORY / "src" / name.replace(".", "/")
    return path.is_dir() or path.with_suffix(".py").is_file()
