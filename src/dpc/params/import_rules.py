"""What `imported` may say: whose prompts, in files that tell the cells of the grid apart."""

import difflib
import re

from dpc.params.sections import Params

PLACEHOLDER = re.compile(r"\{([^{}]*)\}")
PLACEHOLDERS = ("dataset", "shots", "seed")


def import_problems(params: Params) -> list[str]:
    """One line for each entry that names no prompt learner, or no file for every cell."""
    found = []
    known = [name for name in params.backbones if name != "zero_shot"]
    for name, entry in params.imported.items():
        if name not in known:
            close = difflib.get_close_matches(name, known, n=1)
            hint = f"; did you mean {close[0]}?" if close else ""
            found.append(
                f"imported.{name}: no such prompt learner under backbones{hint} "
                f"(known: {', '.join(known)})"
            )
        if not entry.tuned:
            found.append(
                f"imported.{name}.tuned is empty; the file of P is expected, which `dpc import` "
                "writes"
            )
        places = {"tuned": entry.tuned, "parallel": entry.parallel}
        for stage, place in places.items():
            found += _place(params, f"imported.{name}.{stage}", place) if place else []
    return found


def _place(params: Params, key: str, place: str) -> list[str]:
    run, put_in = params.run, PLACEHOLDER.findall(place)
    found = [
        f"{key}: {{{name}}} is not put in (known: {{dataset}}, {{shots}}, {{seed}})"
        for name in put_in
        if name not in PLACEHOLDERS
    ]
    counts = zip(PLACEHOLDERS, (run.datasets, run.shots, run.seeds), strict=True)
    missing = [name for name, values in counts if len(values) > 1 and name not in put_in]
    for name in missing:
        found.append(
            f"{key} is {place!r}, one file for several cells of the grid; write {{{name}}} into it"
        )
    return found
