"""`dpc predict`: what the tuned prompts say of your images."""

import argparse
import csv
import io
import json
import sys
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dpc.errors import DpcError
from dpc.progress import escaped, shots_in_words

if TYPE_CHECKING:
    from dpc.params.sections import Params
    from dpc.stages.chosen import Cell
    from dpc.stages.predict import Answer, Classifier

DESCRIPTION = """\
Say what images show, by the tuned prompt P, the parallel prompt P' and their mix, out of a finished
tree. By default all classes of the dataset compete: base names through the mix, new ones through P
(with ω_n = 0), as in protocol `generalized`.
"""
EPILOG = """\
  dpc predict photo.png --dataset icons-tabler --backbone coop --seed 1
  dpc predict photos/ --run results/finetune/icons-tabler/coop/shots16-seed1.safetensors
  dpc predict photo.png --run old/results --labels "star,green star,rocket"

Exit code: 0, or 1 if an image could not be read; the others are answered all the same.
"""
COLUMNS = ("rank", "label", "prompt", "mix", "tuned", "parallel")
HEADS = {"rank": "#", "prompt": "read with", "mix": "mix %", "tuned": "P %", "parallel": "P' %"}


def add_parser(
    commands: "argparse._SubParsersAction[argparse.ArgumentParser]", common: argparse.ArgumentParser
) -> None:
    """Add the command to the subcommands of `dpc`."""
    command = commands.add_parser(
        "predict",
        parents=[common],
        help="what the tuned prompts say of your images",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.add_argument("images", nargs="+", metavar="IMAGE", help="files, or folders of them")
    command.add_argument(
        "--run",
        dest="results",
        type=Path,
        default=Path("results"),
        metavar="PATH",
        help="a folder of results, or the file of a cell (default: results)",
    )
    command.add_argument("--dataset", help="whose prompts; needed where there are several")
    command.add_argument("--backbone", help="whose prompts; as --dataset")
    command.add_argument("--seed", type=int, help="as --dataset")
    command.add_argument("--shots", type=int, help="as --dataset")
    names = command.add_mutually_exclusive_group()
    names.add_argument(
        "--labels",
        metavar="A,B|FILE",
        help="names in place of the dataset's: with commas, or a file with one a line",
    )
    names.add_argument(
        "--only",
        choices=("base", "new", "all"),
        default="all",
        help="which of the dataset's classes compete (default: all)",
    )
    command.add_argument(
        "--top", type=_count, default=5, metavar="N", help="names for each image (default: 5)"
    )
    command.add_argument("--json", action="store_true", help="print one JSON object")
    command.add_argument(
        "--out", type=_table, metavar="FILE", help="write a .csv or .json file, print nothing"
    )
    command.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> None:
    from dpc.datasets.given import named_images
    from dpc.files import require_writable, write_atomically
    from dpc.params.load import load
    from dpc.progress import LOG
    from dpc.stages.chosen import AXES, Named, cell_of, place_of
    from dpc.stages.labels import read_labels

    if options.out is not None:
        require_writable(options.out)
    images = named_images(options.images)
    labels = read_labels(options.labels) if options.labels is not None else None
    place = place_of(options.results)
    named = place.joined(Named(*(getattr(options, axis) for axis in AXES)))
    params = load(place.params_file(options.params))
    cell = cell_of(params, place.layout, named)

    from dpc.stages.predict import classifier

    made = classifier(params, place.layout, cell, labels, options.only)
    for word, near in made.unknown.items():
        hint = f"; near words that it knows: {', '.join(near)}" if near else ""
        LOG.warning("this CLIP never learned the word %r: it means nothing to it%s", word, hint)
    answers = list(made.answers(images))
    content = _content(_about(params, cell, made), answers, made, options.top)
    if options.out is not None:
        text = _json(content) if options.out.suffix == ".json" else _csv(content)
        write_atomically(options.out, text.encode())
        LOG.info("wrote %s", options.out)
    elif options.json:
        sys.stdout.write(_json(content))
    elif any(not answer.problem for answer in answers):
        _show(content)
    if problems := [answer.problem for answer in answers if answer.problem]:
        raise DpcError("\n".join(problems))


def _about(params: "Params", cell: "Cell", made: "Classifier") -> dict[str, Any]:
    from dpc.params.backbones import traits

    base, new = made.weights
    return {
        "dataset": cell.dataset,
        "source": params.source_of(cell.dataset),
        "protocol": params.protocol,
        "backbone": cell.backbone,
        "label": traits(params, cell.backbone)["label"],
        "shots": cell.draw.shots,
        "seed": cell.draw.seed,
        "omega_b": base,
        "omega_n": new,
        "tuned_names": list(made.names.tuned),
        "other_names": list(made.names.others),
        "unknown_words": {word: list(near) for word, near in made.unknown.items()},
    }


def _content(
    about: dict[str, Any], answers: Sequence["Answer"], made: "Classifier", top: int
) -> dict[str, Any]:
    """Everything that is said, as JSON: of each image its ``top`` names by the mix, and those that
    P and P' put first."""
    found: list[dict[str, Any]] = []
    for answer in answers:
        if answer.problem:
            found.append({"image": str(answer.image), "problem": answer.problem})
        else:
            found.append({"image": str(answer.image), "names": list(_rows(answer, made, top))})
    return about | {"images": found}


def _rows(answer: "Answer", made: "Classifier", top: int) -> Iterator[dict[str, Any]]:
    mix = answer.probabilities["mix"]
    ranks = {int(name): rank for rank, name in enumerate((-mix).argsort(kind="stable"), 1)}
    firsts = {reading: int(each.argmax()) for reading, each in answer.probabilities.items()}
    for name, rank in ranks.items():
        if rank > top and name not in firsts.values():
            continue
        tuned = name < len(made.names.tuned)
        yield {
            "rank": rank,
            "label": made.names.all[name],
            "prompt": prompt_of(made.weights[0 if tuned else 1]),
            "unknown": _is_unknown(made.names.all[name], made.unknown),
            "first_of": [reading for reading, first in firsts.items() if first == name],
        } | {reading: float(each[name]) for reading, each in answer.probabilities.items()}


def _is_unknown(name: str, words: Collection[str]) -> bool:
    """Whether the CLIP never learned any word of a name: those that it did still tell it apart."""
    from dpc.clip.sentences import plain_name

    return {*plain_name(name).lower().split()} <= {*words}


def prompt_of(weight: float) -> str:
    """What a share of P' is called."""
    return {0.0: "P", 1.0: "P'"}.get(weight, f"{weight:g}·P' + {1 - weight:g}·P")


def _json(content: dict[str, Any]) -> str:
    return json.dumps(content, indent=1, ensure_ascii=False) + "\n"


def _csv(content: dict[str, Any]) -> str:
    """One line for each name of each image; a line with the problem where an image has one."""
    text = io.StringIO()
    table = csv.DictWriter(
        text, ["image", *COLUMNS, "problem"], extrasaction="ignore", lineterminator="\n"
    )
    table.writeheader()
    for image in content["images"]:
        for name in image.get("names", [{}]):
            table.writerow({"image": image["image"], **name, "problem": image.get("problem", "")})
    return text.getvalue()


def _show(content: dict[str, Any]) -> None:
    """A table on a terminal, aligned text elsewhere; * marks what a column puts first."""
    print(escaped(_heading(content)))
    rows = [
        [escaped(image["image"]), *(escaped(_cell(name, column)) for column in COLUMNS)]
        for image in content["images"]
        for name in image.get("names", ())
    ]
    heads = ["image", *(HEADS.get(column, column) for column in COLUMNS)]
    if sys.stdout.isatty():
        _rich_table(heads, rows)
        return
    widths = [max(map(len, column)) for column in zip(heads, *rows, strict=True)]
    for row in [heads, *rows]:
        texts = [
            text.rjust(width) if number >= 4 or number == 1 else text.ljust(width)
            for number, (text, width) in enumerate(zip(row, widths, strict=True))
        ]
        print("  ".join(texts).rstrip())


def _heading(content: dict[str, Any]) -> str:
    trained = (
        f"{content['label']} + DPC, {shots_in_words(content['shots'])}, seed {content['seed']}"
    )
    parts = [
        f"{len(names)} {kind}, read with {prompt_of(content[weight])}"
        for names, kind, weight in (
            (content["tuned_names"], "tuned on", "omega_b"),
            (content["other_names"], "not tuned on", "omega_n"),
        )
        if names
    ]
    count = len(content["tuned_names"]) + len(content["other_names"])
    return f"{content['source']}, {trained}; {count} names compete: {'; '.join(parts)}"


def _cell(name: dict[str, Any], column: str) -> str:
    value = name[column]
    if column == "label" and name["unknown"]:
        return f"{value} (unknown)"
    if column not in ("mix", "tuned", "parallel"):
        return str(value)
    return f"{'*' if column in name['first_of'] else ''}{100 * value:.1f}"


def _rich_table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(*heads, caption="* what a prompt puts first", caption_justify="left")
    table.columns[0].overflow = "fold"
    for number in (1, 4, 5, 6):
        table.columns[number].justify = "right"
    before = None
    for image, *rest in rows:
        if before not in (None, image):
            table.add_section()
        table.add_row("" if image == before else image, *rest)
        before = image
    Console(markup=False, highlight=False, emoji=False).print(table)


def _count(text: str) -> int:
    if text.isdecimal() and int(text) > 0:
        return int(text)
    raise argparse.ArgumentTypeError(f"{text!r} is no number of at least 1")


def _table(text: str) -> Path:
    path = Path(text)
    if path.suffix not in (".csv", ".json"):
        raise argparse.ArgumentTypeError(f"{text!r} ends neither in .csv nor in .json")
    return path
