"""Blocks of backbones: those of others, and keys of the file that differ for a backbone."""

import subprocess
import sys
from pathlib import Path

import pytest
from composed import preset
from ruamel.yaml import YAML

from dpc.cli import main
from dpc.errors import ParamsError
from dpc.params.backbones import backbone_module, traits
from dpc.params.load import as_dict, checked, compose, description_for, load
from dpc.params.render import render

LEARNER = """
from dataclasses import dataclass

from dpc.backbones.base import Backbone, Prompts


@dataclass(frozen=True)
class Settings:
    temperature: float
    lr: float = 0.5
    epochs: int = 3
    batch: int = 2


class Learner(Backbone):
    Params = Settings
    label = "Mine"
    transductive = True
    needs_teacher = True

    def prompts(self):
        return Prompts()


class Untaught(Learner):
    needs_teacher = False


class Numberless(Learner):
    @dataclass(frozen=True)
    class Params:
        lr: float = 0.5


class Shapeless(Learner):
    class Params:
        lr = 0.5


class Odd(Learner):
    @dataclass(frozen=True)
    class Params:
        lr: complex = 1j
"""


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))


@pytest.fixture()
def smoke():
    return preset("smoke")


@pytest.fixture()
def with_toy(smoke):
    """A backbone from outside that says nothing but where it is."""
    smoke["backbones"]["mine"] = {"class": "toys:Toy", "lr": 1}
    smoke["run"]["backbones"] = ["coop", "mine"]
    return smoke


def lines(values) -> list[str]:
    with pytest.raises(ParamsError) as caught:
        checked(values)
    return [line.removeprefix("params.yaml: ") for line in caught.value.problems]


def line(values) -> str:
    (found,) = lines(values)
    return found


def write(values) -> None:
    Path("params.yaml").write_text(render(values, description_for(values)))


def test_keys_that_a_block_of_ones_own_leaves_out_are_filled(with_toy):
    params = checked(with_toy)
    block = {"lr": 1.0, "epochs": 10, "batch": 4}
    assert params.backbones["mine"] == {"class": "toys:Toy", **block}
    assert isinstance(params.backbones["mine"]["lr"], float)
    assert params.block("mine") == block
    assert checked(as_dict(params)) == params


def test_a_block_of_the_package_is_complete(smoke):
    del smoke["backbones"]["coop"]["lr"]
    assert "backbones.coop.lr is missing" in line(smoke)


def test_a_block_of_ones_own_has_comments_and_reads_back(with_toy):
    text = render(with_toy, description_for(with_toy))
    assert YAML(typ="safe").load(text) == with_toy
    part = text[text.index("  mine:") :].splitlines()
    assert part[1] == "    # Module and class of this prompt learner. [text]"
    assert part[2] == '    class: "toys:Toy"'
    assert part[3].startswith("    # Learning rate of stage one (SGD). [a number above 0]")


def test_a_file_with_a_block_of_ones_own_gets_its_comments_back(with_toy):
    write(with_toy)
    whole = Path("params.yaml").read_text()
    bare = [text for text in whole.splitlines() if not text.strip().startswith("# Module and")]
    Path("params.yaml").write_text("\n".join(bare))
    assert main(["params", "--from", "params.yaml", "--out", "params.yaml"]) == 0
    assert Path("params.yaml").read_text() == whole


@pytest.mark.parametrize(
    ("name", "block", "words"),
    [
        ("cop", {"lr": 0.1}, "backbones.cop is no backbone of the package (did you mean coop? "),
        ("mine", {}, "for one of your own write backbones.mine.class: module:Class"),
        ("mine", 3, "backbones.mine is no backbone of the package"),
        ("my.own", {"class": "toys:Toy"}, "letters, digits, - and _ are expected"),
        ("mine", {"class": "toys.Toy"}, "is 'toys.Toy'; module:Class is expected"),
        ("mine", {"class": 3}, "backbones.mine.class is 3; module:Class is expected"),
        ("mine", {"class": "toyz:Toy", "lr": 1}, "backbones.mine.class leads nowhere: backbone"),
        ("mine", {"class": "toys:Missing"}, "has no attribute 'Missing'"),
        ("mine", {"class": "toys:ImageBank"}, "is no subclass of dpc.backbones.base.Backbone"),
        ("mine", {"class": "toys:Toy", "lrr": 1}, "backbones.mine.lrr is not a parameter; did you"),
        ("mine", {"class": "toys:Toy", "lr": 0}, "backbones.mine.lr is 0; a number above 0"),
        ("mine", {"class": "learner_a:Learner"}, "backbones.mine.temperature is missing"),
        ("mine", {"class": "learner_a:Numberless"}, "Params has no epochs: stage one reads lr, e"),
        ("mine", {"class": "learner_a:Shapeless"}, "Params is no dataclass"),
        ("mine", {"class": "learner_a:Odd"}, "Params.lr is no bool, int, float, str or list"),
        ("mine", {"class": "learner_b:Learner"}, "cannot be imported: invalid syntax"),
        ("coop", None, "backbones.coop.class belongs to blocks of your own"),
    ],
)
def test_a_block_that_cannot_be_used_is_one_line(smoke, name, block, words):
    Path("learner_a.py").write_text(LEARNER)
    Path("learner_b.py").write_text("class Learner: pass pass")
    for module in ("learner_a", "learner_b"):
        sys.modules.pop(module, None)
    own = smoke["backbones"].get(name, {}) | {"class": "toys:Toy"}
    smoke["backbones"][name] = own if block is None else block
    found = line(smoke)
    assert words in found
    assert "\n" not in found


DEEP = """
class Deep(Backbone):
    prompted = ("text", "image")

    @dataclass(frozen=True)
    class Params:
        depth: int = param(2, "Prompted layers.", layers=("text",))
        lr: float = 0.5
        epochs: int = 3
        batch: int = 2
"""
NUMBER = "Params.depth is a number of layers: its type is int, without None"
WRONG = [
    ("depth: int", "depth: int | None", NUMBER),
    ("depth: int", "depth: float", NUMBER),
    ("depth: int", "depth: list[int]", NUMBER),
    ('("text",)', '("txet",)', "Params.depth: layers is ('txet',); a tuple is expected, of text"),
    ('("text",)', '"text"', "Params.depth: layers is 'text'; a tuple is expected, of text and i"),
    ('("text", "image")', "None", "prompted is None; a tuple is expected, of text and image"),
    ('("text", "image")', '("text", "sound")', "prompted is ('text', 'sound'); a tuple is exp"),
    ('("text", "image")', '"text"', "prompted is 'text'; a tuple is expected, of text and image"),
]


def test_towers_that_a_class_cannot_mean_are_one_line(smoke):
    classes = [
        DEEP.replace("Deep", f"Deep{number}").replace(before, after)
        for number, (before, after, _) in enumerate(WRONG)
    ]
    imports = LEARNER.partition("@dataclass")[0] + "from dpc.params.fields import param\n"
    Path("learner_f.py").write_text(imports + DEEP + "".join(classes))
    smoke["run"] |= {"backbones": ["mine"], "budget": []}
    smoke["backbones"]["mine"] = {"class": "learner_f:Deep"}
    assert traits(checked(smoke), "mine")["prompted"] == {"text": "depth", "image": ""}
    for number, (*_, words) in enumerate(WRONG):
        smoke["backbones"]["mine"] = {"class": f"learner_f:Deep{number}"}
        assert f"leads nowhere: learner_f:Deep{number}.{words}" in line(smoke)


def test_prompts_from_elsewhere_need_the_names_of_checkpoints(smoke):
    """Known before prepare and features have run, for a learner from outside and for a teacher."""
    smoke["backbones"]["mine"] = {"class": "learner_g:Untaught", "temperature": 0.1}
    smoke["run"] |= {"backbones": ["coop"], "budget": []}
    smoke["teacher"] |= {"backbone": "mine", "settings": {}}
    smoke["imported"] = {
        name: {"tuned": "{dataset}-{shots}-{seed}"} for name in ("coop", "mine", "teacher")
    }
    Path("learner_g.py").write_text(LEARNER + "ELSEWHERE = None\n")
    assert [found.partition(": ")[0] for found in lines(smoke)] == [
        "imported.mine",
        "imported.teacher",
    ]
    assert "the module of learner_g:Untaught says no ELSEWHERE" in lines(smoke)[0]
    Path("learner_h.py").write_text(LEARNER + "ELSEWHERE = 'its names'\n")
    smoke["backbones"]["mine"]["class"] = "learner_h:Untaught"
    assert traits(checked(smoke), "mine")["elsewhere"]


def test_a_transductive_learner_without_a_teacher_is_refused(smoke):
    Path("learner_e.py").write_text(LEARNER)
    smoke["backbones"]["mine"] = {"class": "learner_e:Untaught", "temperature": 0.1}
    smoke["run"]["backbones"] = ["mine"]
    smoke["run"]["budget"] = []
    assert "'mine' is transductive and has no teacher" in line(smoke)


@pytest.mark.slow
def test_a_learner_beside_the_file_is_found_and_its_traits_cost_no_torch(smoke):
    Path("learner_c.py").write_text(LEARNER)
    smoke["backbones"]["mine"] = {"class": "learner_c:Learner", "temperature": 0.1}
    smoke["run"]["backbones"] = ["mine"]
    smoke["run"]["budget"] = []
    params = checked(smoke)
    expected = {
        "label": "Mine",
        "transductive": True,
        "needs_teacher": True,
        "kept_losses": [],
        "prompted": {"text": ""},
        "elsewhere": False,
    }
    assert traits(params, "mine") == expected
    assert backbone_module(params, "mine") == "learner_c"
    write(smoke)
    code = (
        "import sys\n"
        "from dpc.params.load import load\n"
        "from dpc.params.backbones import traits\n"
        "print(sorted(traits(load(), 'mine').items()), 'torch' in sys.modules)\n"
    )
    for _ in range(2):
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True
        )
    assert done.stdout == f"{sorted(expected.items())} False\n"


@pytest.mark.slow
def test_a_description_follows_the_file_that_it_was_read_from(smoke, tmp_path):
    smoke["backbones"]["mine"] = {"class": "learner_d:Learner", "temperature": 1}
    smoke["run"]["backbones"] = ["coop", "mine"]
    for lr in ("0.5", "0.25"):
        Path("learner_d.py").write_text(LEARNER.replace("0.5", lr))
        write_only(smoke)
        done = subprocess.run(
            [sys.executable, "-c", "from dpc.params.load import load\nprint(load().block('mine'))"],
            capture_output=True,
            text=True,
            check=True,
        )
        assert f"'lr': {lr}," in done.stdout


def write_only(values) -> None:
    with Path("params.yaml").open("w") as file:
        YAML().dump(values, file)


def test_a_name_without_a_label_is_its_own():
    params = checked(compose(preset("smoke"), ["backbones.mine.class=toys:Toy"], "smoke"))
    assert traits(params, "mine")["label"] == "mine"
    assert traits(params, "coop")["needs_teacher"] is False


def test_a_learner_is_added_on_the_command_line():
    assert main(["params", "--preset", "smoke", "--out", "params.yaml"]) == 0
    overrides = ["run.backbones=[coop,mine]", "backbones.mine.class=toys:Toy"]
    params = load(Path("params.yaml"), [*overrides, "backbones.mine.lr=0.25"])
    assert params.block("mine") == {"lr": 0.25, "epochs": 10, "batch": 4}
    assert load(Path("params.yaml"), [overrides[0], f"+{overrides[1]}"]).run.backbones == [
        "coop",
        "mine",
    ]
    with pytest.raises(ParamsError, match=r"did you mean backbones\.coop\.lr\?"):
        load(Path("params.yaml"), ["backbones.coop.lrr=1"])
    with pytest.raises(ParamsError, match=r"did you mean coop\?"):
        load(Path("params.yaml"), ["backbones.cop.lr=1"])


def test_a_grid_with_a_name_that_has_no_block(smoke):
    smoke["run"]["backbones"] = ["coop", "mapel"]
    assert "run.backbones: 'mapel' has no block under backbones; did you mean maple?" in line(smoke)


def test_settings_of_stage_two_for_one_backbone(with_toy):
    own = {"weight": 1, "keep_losses": None, "negatives": {"k": 3}, "sweep": [0, 1]}
    with_toy["dpc"]["by_backbone"] = {"mine": own}
    params = checked(with_toy)
    mine, coop = params.stage_two("mine"), params.stage_two("coop")
    assert (mine.weight, mine.negatives.k, mine.sweep) == (1.0, 3, [0.0, 1.0])
    assert isinstance(mine.weight, float)
    assert mine.negatives.pool == coop.negatives.pool
    assert (coop.weight, coop.negatives.k) == (0.2, 2)
    text = render(with_toy, description_for(with_toy))
    assert YAML(typ="safe").load(text) == with_toy


@pytest.mark.parametrize(
    ("block", "words"),
    [
        ({"mapel": {"weight": 1}}, "dpc.by_backbone.mapel: no such prompt learner under backbones"),
        ({"zero_shot": {"weight": 1}}, "dpc.by_backbone.zero_shot: no such prompt learner"),
        (
            {"coop": {"wieght": 1}},
            "by_backbone.coop.wieght is not a parameter; did you mean dpc.by",
        ),
        ({"coop": {"weight": 2}}, "dpc.by_backbone.coop.weight is 2; a number in [0, 1]"),
        ({"coop": {"negatives": {"k": 1}}}, "by_backbone.coop.negatives.k is 1; a whole number"),
        ({"coop": {"by_backbone": {}}}, "dpc.by_backbone.coop.by_backbone is not a parameter"),
        ({"coop": 1}, "dpc.by_backbone.coop is 1; a block of keys is expected"),
        (
            {"coop": {"weight": 0, "parametrization": "mixed"}},
            "dpc.by_backbone.coop: weight 0 and parametrization mixed contradict each other",
        ),
    ],
)
def test_wrong_settings_for_one_backbone_are_one_line(smoke, block, words):
    smoke["dpc"]["by_backbone"] = block
    assert words in line(smoke)


@pytest.mark.parametrize(
    "override", ["dpc.by_backbone.coop.weight=0.5", "+dpc.by_backbone.coop.weight=0.5"]
)
def test_keys_below_names_of_ones_own_need_no_plus(smoke, override):
    overrides = [override, "teacher.settings.lr=0.01", "data.on_disk.pets.split=pets.json"]
    values = compose(smoke, overrides, "smoke")
    assert values["dpc"]["by_backbone"] == {"coop": {"weight": 0.5}}
    assert values["teacher"]["settings"] == {"lr": 0.01, "batch": 16}
    assert values["data"]["on_disk"] == {"pets": {"split": "pets.json"}}
    again = compose(values, [override.replace("0.5", "0.7")], "smoke")
    assert again["dpc"]["by_backbone"] == {"coop": {"weight": 0.7}}


def test_ablations_are_of_backbones_in_the_grid(smoke):
    smoke["run"]["ablations"] = ["maple"]
    assert line(smoke) == "run.ablations: 'maple' is not in run.backbones"


def teacher(values, **keys):
    values["teacher"] |= keys
    return values


def test_the_teachers_block_is_its_learners_with_its_own_keys(smoke):
    params = checked(teacher(smoke, backbone="coop", settings={"lr": 1}))
    assert params.teacher_block() == smoke["backbones"]["coop"] | {"lr": 1.0}
    text = render(smoke, description_for(smoke))
    assert YAML(typ="safe").load(text) == smoke


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"settings": {"lrr": 1}}, "teacher.settings.lrr is not a parameter; did you mean teacher"),
        ({"settings": {"lr": 0}}, "teacher.settings.lr is 0; a number above 0 is expected"),
        ({"settings": 1}, "teacher.settings is 1; a block of keys is expected"),
        ({"backbone": "promptscr"}, "no prompt learner under backbones; did you mean promptsrc?"),
        (
            {"backbone": "zero_shot", "settings": {}},
            "teacher.backbone: 'zero_shot' is no prompt learner",
        ),
    ],
)
def test_a_wrong_teacher_is_one_line(smoke, keys, words):
    assert words in line(teacher(smoke, **keys))


def test_a_teacher_is_looked_at_where_somebody_learns_from_it(smoke):
    teacher(smoke, model="icons", pretrained="random:1")
    checked(smoke)
    smoke["run"]["backbones"] = ["coop", "promptkd"]
    assert line(smoke).startswith("teacher.model 'icons'")
    assert "needs a teacher itself" in line(teacher(smoke, backbone="promptkd"))
    del smoke["backbones"]["promptsrc"]
    assert "'promptsrc' is no prompt learner under backbones" in line(
        teacher(smoke, backbone="promptsrc")
    )


def test_a_backbone_of_the_package_that_nobody_needs_may_be_missing(smoke):
    del smoke["backbones"]["promptsrc"], smoke["backbones"]["maple"]
    checked(smoke)
