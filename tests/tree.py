"""A project tree of its own for each engine test: the repository's files, the smoke preset."""

import fcntl
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

REPOSITORY = Path(__file__).parents[1]
PIECES = (
    "README.md",
    "Snakefile",
    "workflow",
    "profiles",
    "dvc.yaml",
    ".dvcignore",
    ".gitignore",
    "src",
)


def working_copy(finished: Path, tmp_path: Path, monkeypatch) -> Path:
    """A copy of a finished tree as working directory."""
    root = shutil.copytree(finished, tmp_path / "tree")
    monkeypatch.chdir(root)
    return root


def made_once(base: Path, name: str, make: Callable[[Path], object]) -> Path:
    """The folder ``base``/``name``, made by the first process that asks; others wait for it.

    Under pytest-xdist every worker has a base folder of its own, inside one that all share.
    """
    base = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    folder, done = base / name, base / f"{name}.done"
    with (base / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not done.exists():
            shutil.rmtree(folder, ignore_errors=True)  # of a failed attempt
            make(folder)
            done.touch()
    return folder


class Tree:
    """Commands in a copy of the project, with the copy's own code."""

    _described: Path | None = None  # what an earlier tree remembers of the same code, by its hash

    def __init__(self, root: Path, *overrides: str):
        self.root = root
        root.mkdir(parents=True)
        for name in PIECES:
            source = REPOSITORY / name
            if source.is_symlink():
                (root / name).symlink_to(source.readlink())
            elif source.is_dir():
                ignored = shutil.ignore_patterns("__pycache__", "*.egg-info")
                shutil.copytree(source, root / name, ignore=ignored)
            else:
                shutil.copy(source, root / name)
        (root / ".dvc").mkdir()
        for name in ("config", ".gitignore"):
            shutil.copy(REPOSITORY / ".dvc" / name, root / ".dvc" / name)
        remembered = root / ".cache" / "descriptions"
        if Tree._described is not None and Tree._described.is_dir():
            shutil.copytree(Tree._described, remembered)
        self.run("dpc", "params", "--preset", "smoke", "--out", "params.yaml", *overrides)
        Tree._described = remembered
        self.run("git", "init", "-q")
        self.run("git", "add", "-A")
        self.run("git", "commit", "-qm", "start")

    @classmethod
    def at(cls, root: Path) -> "Tree":
        """A tree that is there already."""
        tree = object.__new__(cls)
        tree.root = root
        return tree

    def copy(self, root: Path) -> "Tree":
        """A tree of the same files, the store and the engines' own notes included."""
        return Tree.at(shutil.copytree(self.root, root, symlinks=True))

    @property
    def environment(self) -> dict[str, str]:
        scripts = Path(sys.executable).parent
        inherited = {name: value for name, value in os.environ.items() if name != "DPC_STORE"}
        return inherited | {
            "PATH": f"{scripts}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": str(self.root / "src"),
            "GIT_AUTHOR_NAME": "t",
            "GIT_AUTHOR_EMAIL": "t@example.org",
            "GIT_COMMITTER_NAME": "t",
            "GIT_COMMITTER_EMAIL": "t@example.org",
            "DVC_NO_ANALYTICS": "1",
            "COLUMNS": "200",
        }

    def run(self, *command: str, check: bool = True, timeout: float = 600):
        """The finished process, output captured as text."""
        done = subprocess.run(
            command,
            cwd=self.root,
            env=self.environment,
            text=True,
            capture_output=True,
            timeout=timeout,
            check=False,
        )
        if check and done.returncode != 0:
            raise AssertionError(f"{' '.join(command)}: {done.stdout}\n{done.stderr}")
        return done

    def snakemake(self, *arguments: str, check: bool = True):
        return self.run("snakemake", "--cores", "2", "all", *arguments, check=check)

    def dvc(self, check: bool = True):
        return self.run("dvc", "repro", check=check)

    def build(self, engine: str) -> tuple[set[str], set[str]]:
        """Bring the tree up to date; (stages that an engine ran, titles of cells worked out)."""
        shutil.rmtree(self.root / "logs" / "timings", ignore_errors=True)
        done = self.snakemake() if engine == "snakemake" else self.dvc()
        text = done.stdout + done.stderr
        ran = set()
        for line in text.splitlines():
            words = line.split()
            if line.startswith(("rule ", "localrule ")):
                ran.add(words[1].rstrip(":"))
            elif line.startswith("Running stage "):
                ran.add(words[2].strip("':").partition("@")[0])
        return ran - {"all", "slices"}, self.worked()

    def worked(self) -> set[str]:
        """Titles of the cells that were computed and not taken from the store."""
        found = set()
        for path in (self.root / "logs" / "timings").glob("*.json"):
            record = json.loads(path.read_text())
            if record["worked"]:
                found.add(record["title"])
        return found

    def results(self) -> dict[str, bytes]:
        """Every file of the results but Snakemake's notes in folders that are outputs."""
        root = self.root / "results"
        return {
            path.relative_to(root).as_posix(): path.read_bytes()
            for path in sorted(root.rglob("*"))
            if path.is_file() and path.name != ".snakemake_timestamp"
        }

    def edit(self, old: str, new: str, name: str = "params.yaml") -> None:
        """Replace a text that occurs exactly once in a file."""
        path = self.root / name
        text = path.read_text()
        assert text.count(old) == 1, f"{old!r} stands {text.count(old)} times in {name}"
        path.write_text(text.replace(old, new))

    def append(self, name: str, text: str) -> None:
        with (self.root / name).open("a") as file:
            file.write(text)
