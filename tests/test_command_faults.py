"""What a person types or has on the disk that no command expects: one line, and no work before."""

import os
from pathlib import Path

import pytest

from dpc import predict_cli
from dpc.cli import main
from dpc.datasets.given import named_images
from dpc.errors import DpcError
from dpc.files import require_writable
from dpc.progress import escaped, shots_in_words
from dpc.stages.chosen import Named, place_of
from dpc.stages.labels import read_labels
from dpc.stages.sides import read_side

LONG = "x" * 300


@pytest.fixture(autouse=True)
def _inside(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(
    ("read", "words"),
    [
        (lambda: named_images([f"{LONG}.png"]), "is missing"),
        (lambda: named_images([f"{LONG}/a.png"]), "there is no folder"),
        (lambda: place_of(Path(LONG)), "does not exist"),
        (lambda: read_side(Path(LONG)), "does not exist"),
    ],
)
def test_a_name_that_is_too_long_is_no_file(read, words):
    with pytest.raises(DpcError, match=words):
        read()


def test_labels_may_be_longer_than_a_file_name():
    assert read_labels(f"{LONG},cat") == [LONG, "cat"]


def test_empty_lines_of_a_file_of_labels_are_no_labels():
    Path("labels").write_text("cat\n\n  \ndog\n")
    assert read_labels("labels") == ["cat", "dog"]


@pytest.mark.parametrize(
    ("out", "words"),
    [
        ("folder.csv", "it is a folder; name a file in it"),
        ("file/x/y.csv", "file is a file and no folder"),
        ("/proc/x.csv", "no such file or directory; name another"),
        (f"{LONG}.csv", "file name too long"),
    ],
)
def test_where_no_file_can_be_written_is_said_before_the_work(out, words, capsys):
    Path("folder.csv").mkdir()
    Path("file").touch()
    assert main(["predict", "gone.png", "--out", out]) == 1
    said = capsys.readouterr().err
    assert words in said and f"cannot write {out}" in said and said.count("\n") == 1


def test_a_place_that_can_be_written_is_left_as_it_is():
    Path("old.csv").write_text("old")
    require_writable(Path("old.csv"))
    require_writable(Path("new/x.csv"))
    assert Path("old.csv").read_text() == "old"
    assert sorted(map(str, Path().rglob("*"))) == ["new", "old.csv"]


def test_what_the_system_refuses_is_one_line_with_its_file(monkeypatch, capsys):
    Path("file").touch()
    monkeypatch.setattr("dpc.commands.run_list", lambda _: Path("file/x").write_text(""))
    assert main(["list"]) == 1
    assert capsys.readouterr().err == "dpc: file/x: Not a directory (-v says where)\n"
    assert main(["list", "-v"]) == 1
    assert "Traceback" in capsys.readouterr().err


def test_a_full_disk_behind_the_output_is_one_line(monkeypatch, capsys):
    full = Path("/dev/full").open("w")  # noqa: SIM115 - the command closes it
    monkeypatch.setattr("sys.stdout", full)
    assert main(["list"]) == 1
    assert full.closed  # with an output that is open the interpreter complains at its end
    assert capsys.readouterr().err == "dpc: No space left on device (-v says where)\n"


def test_a_pipe_among_images_is_left_out():
    Path("in").mkdir()
    os.mkfifo("in/a.png")
    Path("in/b.png").touch()
    Path("in/c.png").symlink_to("a.png")
    Path("in/d.png").symlink_to("gone.png")
    assert named_images(["in"]) == [Path("in/b.png"), Path("in/d.png")]


def test_a_link_that_leads_to_itself_is_not_near_itself():
    Path("loop").symlink_to("loop")
    with pytest.raises(DpcError, match="loop is a link that leads nowhere"):
        named_images(["loop"])


def test_what_contradicts_the_file_of_a_cell_is_refused():
    path = Path("results/finetune/icons-tabler/coop/shots4-seed1.safetensors")
    path.parent.mkdir(parents=True)
    path.touch()
    place = place_of(path)
    assert place.joined(Named(seed=1)) == Named("icons-tabler", "coop", 4, 1)
    with pytest.raises(DpcError, match="--seed 2 contradicts --run, the file of a cell of seed 1"):
        place.joined(Named(seed=2))


def test_a_tree_without_parameters_beside_it_says_how_to_write_them(capsys):
    Path(".cache/scratch/0123/finetune").mkdir(parents=True)
    Path("a.png").touch()
    assert main(["predict", "a.png", "--run", ".cache/scratch/0123"]) == 1
    assert "`dpc params --from params.yaml dpc.weight=0.5 --out FILE`" in capsys.readouterr().err


def test_a_name_is_unknown_where_all_its_words_are():
    unknown = {"trolley": [], "zebra": []}
    names = ["red trolley", "Zebra_trolley", "zebra", "star"]
    found = [predict_cli._is_unknown(name, unknown) for name in names]
    assert found == [False, True, True, False]


def test_a_terminal_is_told_control_characters_and_not_sent_them(capsys):
    assert escaped("a\x1b[31m\n\u2028é ×") == "a\\x1b[31m\\n\\u2028é ×"
    assert main(["predict", "gone\x1b[2J.png"]) == 1
    said = capsys.readouterr().err
    assert "gone\\x1b[2J.png is missing" in said and "\x1b" not in said


def test_shots_are_counted_in_words():
    assert [shots_in_words(shots) for shots in (0, 1, 16)] == ["all shots", "1 shot", "16 shots"]
