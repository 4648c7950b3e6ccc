"""The report: one self-contained page, its tables and figures, the metrics, all as bytes."""

import base64
import hashlib
import re
from collections.abc import Iterable, Sequence
from importlib.resources import files
from typing import Any

from jinja2 import Environment, FunctionLoader, StrictUndefined
from markupsafe import Markup, escape

from dpc.errors import DpcError
from dpc.report import metrics, words
from dpc.report.baselines import in_short
from dpc.report.context import Report, ReportContext, report, shots_name
from dpc.report.headline import averages_sentence, by_shots_sentence, headline
from dpc.report.parts import PARTS
from dpc.report.protocols import capital
from dpc.report.rows import Results
from dpc.report.scores import Contender, Row
from dpc.report.sections import Section, as_json
from dpc.report.svg import PALETTE, Drawing, tone

TEMPLATE = "page.html.j2"


def build(rows: Iterable[Row], context: ReportContext) -> dict[str, bytes]:
    """All files of the report; the same rows and context give the same bytes.

    Args:
        rows: evaluated rows of the context's protocol, in any order; missing seeds and methods are
            shown as missing.
        context: what else the page says.

    Returns:
        File name relative to the report's directory -> content, sorted by name.

    Raises:
        DpcError: a row that cannot be read, see ``rows.collect``; two figures of one name.
    """
    rows = list(rows)
    made = report(rows, context)
    sections = [each for make in PARTS[made.protocol.name] if (each := make(made)) is not None]
    order = (context.names, context.backbones, made.protocol)
    built = {
        "metrics.json": as_json(metrics.build(rows, context.clip, *order)),
        "summary.json": as_json(metrics.summary(rows, *order)),
    }
    for section in sections:
        built |= section.files
    named = [name for section in sections for name in section.files]
    content = {name: text.encode("utf-8") for name, text in built.items()}
    content["index.html"] = _page(made, sections, named).encode("utf-8")
    for section in sections:
        for drawing in (each for gallery in section.galleries for each in gallery.drawings):
            if f"figures/{drawing.name}.svg" in content:
                raise DpcError(
                    f"two figures of the report would be called {drawing.name}, the second one "
                    f"{drawing.title!r}; give a data set or backbone that it is named after "
                    "another name"
                )
            content[f"figures/{drawing.name}.svg"] = drawing.svg
            content[f"figures/{drawing.name}.pdf"] = drawing.pdf
            content[f"figures/{drawing.name}.csv"] = drawing.csv.encode("utf-8")
    return dict(sorted(content.items()))


def _page(made: Report, sections: Sequence[Section], named: Sequence[str]) -> str:
    environment = Environment(
        loader=FunctionLoader(_text),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    results, script = made.results, _text("page.js")
    common: dict[str, Any] = {
        "context": made.context,
        "title": made.context.title or made.protocol.title,
        "results": results,
        "files": named,
        "palette": {name.replace("_", "-"): pair for name, pair in PALETTE.items()},
        "swatch": lambda contender: _swatch(results, contender),
        "family": _family,
        "symbols": _symbols,
        "inline": _inline,
        "percent": words.percent,
        "points": words.points,
        "bare_p": words.bare_p,
        "capital": capital,
        "shots_name": shots_name,
        "listed": words.listed,
    }
    glyphs = {
        name: shape
        for section in sections
        for gallery in section.galleries
        for drawing in gallery.drawings
        for name, shape in drawing.glyphs.items()
    }
    parts = [
        Markup(environment.get_template(each.template).render(common, section=each, **each.values))
        for each in sections
    ]
    return environment.get_template(TEMPLATE).render(
        common,
        headline=_headline(made),
        sections=sections,
        parts=parts,
        glyphs=Markup("").join(Markup(shape) for shape in glyphs.values()),
        policy=_policy(script),
        script=Markup(script),
    )


def _text(name: str) -> str:
    return files("dpc.report").joinpath(name).read_text("utf-8")


def _policy(script: str) -> str:
    """What a browser may load for the page: nothing but what stands in it."""
    digest = base64.b64encode(hashlib.sha256(script.encode("utf-8")).digest()).decode("ascii")
    allowed = ("default-src 'none'", "img-src data:", "style-src 'unsafe-inline'")
    return "; ".join((*allowed, f"script-src 'sha256-{digest}'", "base-uri 'none'"))


def _headline(made: Report) -> list[str]:
    """The result in words; of a series, at the most shots, then the gain at each."""
    lines = headline(made.series)
    if made.protocol.transfers:
        lines.append(averages_sentence(made.results))
    lines.append(by_shots_sentence(made.series))
    lines.append(in_short(made.series))
    return [line for line in lines if line]


def _swatch(results: Results, contender: Contender) -> str:
    """CSS classes of a contender's mark: its backbone's tone, hollow where transductive."""
    name = tone(results.backbones, contender.backbone).replace("_", "-")
    return f"{name} hollow" if contender.transductive else name


def _family(contender: Contender) -> str:
    """What the rows of a method are filtered by: its backbone, or a method without one."""
    alone = contender.kind == "zero_shot"
    return contender.label if alone else contender.name or contender.backbone


def _symbols(text: str) -> Markup:
    """Text, escaped, with the b and n of ω_b, ω_n, P̃_b and P̃_n set as subscripts."""
    return Markup(re.sub("(ω|P̃)_([bn])", r"\1<sub>\2</sub>", str(escape(text))))


def _inline(drawing: Drawing) -> Markup:
    """A figure's SVG: our own drawing, not user text."""
    return Markup(drawing.inline)
