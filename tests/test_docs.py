"""The README and the docs: commands work, the site builds, generated pages are up to date."""

import ast
import os
import re
import runpy
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from zipfile import ZipFile

import doc_blocks
import pytest
from doc_blocks import PAGES, all_blocks, blocks, page_name, spans, wrong, wrong_span
from ruamel.yaml import YAML
from tree import REPOSITORY

from dpc import cli_docs
from dpc.cli import main

BLOCKS = all_blocks()
SHELL = [block for block in BLOCKS if block.language == "sh"]
RUN_HERE = [block for block in SHELL if not block.mark]
# What the tests of the engines run from end to end, wherever a page tells to type it.
ENGINES = re.compile(r"snakemake --cores (?:8|all) all|dvc repro")
ROLE = re.compile(r":(?:py:)?(?:func|meth|class|mod|attr|data|exc|ref):")  # Sphinx's, not ours
EXTERNAL = re.compile(r'<(?:script|img|iframe)[^>]* src="?https?:|<link[^>]*stylesheet[^>]*https?:')


@pytest.mark.parametrize("path", PAGES, ids=page_name)
def test_code_stands_in_blocks_with_a_language(path):
    text = path.read_text(encoding="utf-8")
    plain = re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)
    assert re.findall(r"(?<=\n\n)(?: {4,}|\t)\S.*", plain) == []
    assert [block.where for block in blocks(text, page_name(path)) if not block.language] == []


@pytest.mark.parametrize("block", SHELL, ids=lambda block: block.where)
def test_commands_are_understood(block):
    assert [f"{line}: {found}" for line in block.lines for found in wrong(line)] == []


@pytest.mark.parametrize("path", PAGES, ids=page_name)
def test_commands_keys_and_paths_in_the_text_exist(path):
    text = path.read_text(encoding="utf-8")
    assert [(span, found) for span in spans(text) for found in wrong_span(span)] == []


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("dpc tune --datasets icons-tabler", "--datasets"),
        ("dpc tun", "invalid choice"),
        ("dpc tune --dataset icons-tablet", "no icons-tablet"),
        ("dpc tune --backbone coopp", "no coopp"),
        ("dpc params --preset ikons", "no preset ikons"),
        ("dpc evaluate dpc.wieght=0.5", "did you mean dpc.weight"),
        ("dpc evaluate dpc.weight=7", "dpc.weight"),
        ("cd x && dpc check", "cd is no program"),
        ("dpc verify && dvc exp run -S dpc.wieght=0.3", "dpc.wieght"),
        ("snakemake --cores 8 al", "no target al"),
        ("snakemake --workflow-profile profiles/slurmm all", "no profile"),
        ("make demmo", "no target demmo"),
        ("make test ARG=1", "does not know ARG"),
        ("python benchmarks/step.py", "no benchmarks/step.py"),
        ("python -m dpc.docs_of_nothing", "no module"),
        ("pytest tests/test_nothing.py", "no tests/test_nothing.py"),
        ("srun --time 1 dpc docter", "invalid choice"),
    ],
)
def test_a_wrong_command_fails(line, words):
    assert words in "\n".join(wrong(line))


@pytest.mark.parametrize(
    "span",
    [
        "dpc tune --drie-run",
        "dpc docter",
        "dpc.wieght: 0.3",
        "dpc.collaboration.weightings",
        "run.bakbones=[coop]",
        "backbones.coop.learning_rate",
        "data.on_disk.own.splt",
        "src/dpc/collaboration/waiting.py",
        "make demmo",
    ],
)
def test_a_wrong_word_in_the_text_fails(span):
    assert wrong_span(span)


def test_an_unmarked_block_is_to_be_run():
    page = "Text:\n\n```sh\ndpc check\n```\n\n<!-- not run: no GPU -->\n```sh\npytest -m gpu\n```\n"
    found = blocks(page, "page")
    assert [(block.line, block.mark) for block in found] == [(3, ""), (8, "not run: no GPU")]


@pytest.mark.parametrize("block", [b for b in SHELL if b.mark.startswith("run by")])
def test_the_test_that_is_named_runs_it(block):
    """By the lines that the page has, whatever they are: it asks for all blocks marked with it."""
    text = (REPOSITORY / block.mark.removeprefix("run by ")).read_text(encoding="utf-8")
    assert "run_by(__file__)" in text


def test_the_commands_page_is_what_the_parser_says():
    fix = "run: python -m dpc.cli_docs > docs/commands.md"
    assert (REPOSITORY / "docs/commands.md").read_text(encoding="utf-8") == cli_docs.page(), fix


@pytest.mark.slow  # matplotlib
def test_the_drawing_of_the_method_is_what_its_script_draws():
    script = runpy.run_path(str(REPOSITORY / "docs/pictures.py"))
    drawn = script["themed"](script["method"]())
    assert (REPOSITORY / "docs/images/method.svg").read_text(encoding="utf-8") == drawn


@pytest.mark.slow
def test_the_blocks_run_as_they_stand(tmp_path, monkeypatch):
    """In order, in one project of the smallest grid, on the data set that the pages name: first
    those of the page that builds a tree, then those that ask for a finished one."""
    project(tmp_path, monkeypatch)
    builds, asks = ("docs/quickstart.md",), ("docs/predict.md", "docs/exchange.md")
    ran = typed(block for block in RUN_HERE if block.page in builds)
    finish()
    ran += typed(block for block in RUN_HERE if block.page in asks)
    ran += typed(block for block in RUN_HERE if block.page not in builds + asks)
    assert ran > 15


def project(tmp_path, monkeypatch):
    """A working folder with params.yaml and what else pages say is in it."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setattr(sys, "path", list(sys.path))
    grid = ("run.datasets=[icons-tabler]", "run.backbones=[coop,maple]", "run.seeds=[1,2]")
    assert main(["params", "--preset", "smoke", "--out", "params.yaml", *grid]) == 0
    learner = next(b for b in BLOCKS if b.page == "docs/add-a-backbone.md")
    Path("kgcoop.py").write_text("\n".join(learner.lines))


def finish():
    """MaPLe's cells, a second tree, and photographs."""
    for stage in ("tune", "finetune"):
        assert main([stage, "-q", "--backbone", "maple"]) == 0
    shutil.copytree("results", "../other/results")
    with ZipFile("results/prepare/icons-tabler/images.zip") as images:
        Path("photos").mkdir()
        for name in ("cloud", "heart"):
            drawing = images.read(f"{name}/tabler-filled-{name}.png")
            Path(f"photos/{name}.png").write_bytes(drawing)


def typed(run_here):
    """Lines that were run; those of the engines' tests are left out."""
    ran = 0
    for block in run_here:
        for line in block.lines:
            if not ENGINES.fullmatch(line):
                words = shlex.split(line, comments=True)
                assert words[0] == "dpc", f"{block.where}: {line} cannot be run here: mark it"
                assert main(words[1:]) == 0, f"{block.where}: {line}"
                ran += 1
    return ran


@pytest.mark.slow
def test_both_engines_understand_their_lines():
    from dvc.cli.parser import get_main_parser
    from snakemake.cli import get_argument_parser

    parsers = {"dvc": get_main_parser, "snakemake": lambda: get_argument_parser([])}
    seen = set()
    for block in SHELL:
        for line in block.lines:
            for program, *arguments in doc_blocks.simple_commands(line):
                if program in parsers:
                    parsers[program]().parse_args(arguments)
                    seen.add(program)
    assert seen == set(parsers)


@pytest.mark.parametrize("path", PAGES, ids=page_name)
def test_links_lead_from_file_to_file(path):
    """As the pages are read in the repository; the strict build of the site looks at its own."""
    links = re.findall(r"\]\((?!\w+:|#)([^)\s#]+)", path.read_text(encoding="utf-8"))
    assert [link for link in links if not (path.parent / link).exists()] == []


def test_the_site_has_every_page_in_its_menu():
    settings = YAML(typ="safe").load((REPOSITORY / "mkdocs.yml").read_text(encoding="utf-8"))
    named = re.findall(r"[\w./-]+\.md", str(settings["nav"]))
    docs = REPOSITORY / "docs"
    written = {path.relative_to(docs).as_posix() for path in docs.rglob("*.md")}
    assert len(named) == len(set(named))
    assert written - set(named) == set()


@pytest.mark.slow
def test_the_site_builds_without_a_warning_and_loads_nothing_from_elsewhere(tmp_path):
    if shutil.which("mkdocs", path=str(Path(sys.executable).parent)) is None:
        pytest.skip("mkdocs is not installed: pip install -e '.[docs]'")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(tmp_path)]
    quiet = os.environ | {"NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(
        command, cwd=REPOSITORY, env=quiet, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    built = list(tmp_path.rglob("*.html"))
    assert len(built) > 20
    for page in built:
        text = page.read_text(encoding="utf-8")
        assert EXTERNAL.findall(text) == [], page.name
        assert "<p>:::" not in text, page.name
        assert ROLE.findall(text) == [], page.name


def test_the_report_page_names_every_section():
    page = (REPOSITORY / "docs/report.md").read_text(encoding="utf-8")
    named = set()
    for path in sorted((REPOSITORY / "src/dpc/report").glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "Section":
                given = {word.arg: word.value for word in node.keywords}
                nav = node.args[2] if len(node.args) > 2 else given.get("nav")
                named |= {c.value for c in ast.walk(nav) if isinstance(c, ast.Constant) and c.value}
    assert len(named) > 10
    assert [name for name in sorted(named) if f"**{name}**" not in page] == []
