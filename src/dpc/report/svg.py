"""Drawing for screen, paper and dark mode: one palette, deterministic SVG and PDF."""

import io
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import matplotlib.style
from matplotlib.axes import Axes
from matplotlib.backends.backend_pdf import FigureCanvasPdf
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from dpc.report.csvs import Field, csv_text

# A colour is a backbone, by its place in the table: nothing here knows a backbone by name. Tones
# after Okabe and Ito, told apart by colour-blind readers; shapes and dashes repeat what they say.
# The second colour stands in for the first on a dark page.
PALETTE: Mapping[str, tuple[str, str]] = {
    "ink": ("#2f3742", "#d7dce3"),
    "faint": ("#c3c9d2", "#454d59"),
    "quiet": ("#68717e", "#a3abb6"),
    "tone_1": ("#0072b2", "#5cb0e8"),
    "tone_2": ("#d55e00", "#ff914d"),
    "tone_3": ("#008a64", "#35c79b"),
    "tone_4": ("#a8558f", "#e39bcb"),
    "tone_5": ("#8a6d00", "#e6c84a"),
    "tone_6": ("#5d4037", "#c9a58f"),
}
TONES = tuple(name for name in PALETTE if name.startswith("tone"))
MARKERS = {"zero_shot": "o", "plain": "s", "budget": "D", "dpc": "^", "baseline": "P"}
LINES = ("o", "s", "^", "D", "v", "P")  # where a line is a backbone

STYLE = {
    "svg.hashsalt": "dpc",
    "svg.fonttype": "path",
    "font.family": "DejaVu Sans",
    "font.size": 9,
    "axes.titlesize": 9.5,
    "axes.titlelocation": "left",
    "axes.labelsize": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.8,
    "axes.axisbelow": True,
    "axes.grid": True,
    "grid.linewidth": 0.6,
    "legend.frameon": False,
    "legend.fontsize": 8,
    "legend.handlelength": 2.6,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "lines.linewidth": 1.8,
    "lines.markersize": 4.5,
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "text.parse_math": False,  # a name may hold a dollar sign
    "text.color": PALETTE["ink"][0],
    "axes.edgecolor": PALETTE["ink"][0],
    "axes.labelcolor": PALETTE["ink"][0],
    "xtick.color": PALETTE["ink"][0],
    "ytick.color": PALETTE["ink"][0],
    "grid.color": PALETTE["faint"][0],
}

# How matplotlib writes the outline of a letter, once for each figure that has it.
GLYPH = re.compile(r'(<path id="([^"]+)" d="[^"]*" transform="scale\(0\.015625\)"/>)\s*')


@dataclass(frozen=True)
class Drawing:
    """A finished figure: file name without suffix, its text for those who cannot see it, bytes.

    ``csv`` holds the numbers as they are drawn.
    """

    name: str
    title: str
    alt: str
    svg: bytes
    pdf: bytes
    csv: str

    @property
    def glyphs(self) -> dict[str, str]:
        """Shapes of the letters, by their ids: those of one font are the same in every figure."""
        return {found[2]: " ".join(found[1].split()) for found in GLYPH.finditer(self._text)}

    @property
    def _text(self) -> str:
        return self.svg.decode("utf-8")

    @property
    def inline(self) -> str:
        """The SVG for an HTML page: no document head, ids of its own, colours as CSS variables.

        Glyphs are left to the page, which holds each of them once under its own id.
        """
        text = self._text[self._text.index("<svg") :]
        glyphs = "|".join(map(re.escape, self.glyphs))
        text = GLYPH.sub("", text)
        text = re.sub(r"<metadata>.*?</metadata>|<!--.*?-->|<defs>\s*</defs>", "", text, flags=re.S)
        text = re.sub(r' xmlns(:\w+)?="[^"]*"', "", text)
        text = re.sub(r'<g id="[^"]*"', "<g", text)
        text = re.sub(r"\s*\n\s*", " ", text).replace("> <", "><")
        text = re.sub(r'\bid="', f'id="{self.name}-', text)
        text = re.sub(rf'href="#(?!(?:{glyphs})")', f'href="#{self.name}-', text)
        text = re.sub(r"url\(#", f"url(#{self.name}-", text)
        for name, (light, _) in PALETTE.items():
            text = text.replace(light, f"var(--{name.replace('_', '-')})")
        return text.replace("<svg", '<svg aria-hidden="true"', 1)


def color(name: str) -> str:
    """A palette colour as drawn; the page replaces it where dark mode asks for it."""
    return PALETTE[name][0]


def tone(backbones: Sequence[str], backbone: str) -> str:
    """Palette name of a backbone by its place among ``backbones``; after the last tone, again."""
    if backbone not in backbones:
        return "quiet"
    return TONES[backbones.index(backbone) % len(TONES)]


def line_marker(backbones: Sequence[str], backbone: str) -> str:
    """Where a line is a backbone; with its tone no other's among the first 36."""
    place = backbones.index(backbone)
    return LINES[(place + place // len(TONES)) % len(LINES)]


def colors(backbones: Sequence[str]) -> str:
    """What a colour means, to begin a sentence."""
    text = "A colour is one backbone on the whole page"
    if len(backbones) > len(TONES):
        text += f" (there are {len(TONES)}, and then the first comes again: go by the names)"
    return text


def draw(
    name: str,
    title: str,
    alt: str,
    size: tuple[float, float],
    paint: Callable[[list[Axes]], None],
    columns: int = 1,
    *,
    fields: Sequence[str],
    numbers: Iterable[Sequence[Field]],
) -> Drawing:
    """Paint axes side by side and save them, with bytes that depend on nothing but the data.

    Args:
        name: file name without suffix.
        title: heading of the figure on the page.
        alt: what the figure shows, in words.
        size: width and height in inches.
        paint: draws into the axes it is given.
        columns: number of axes.
        fields: headings of the figure's CSV.
        numbers: its lines: what is drawn.
    """
    with matplotlib.style.context(["default", STYLE]):
        figure = Figure(figsize=size, layout="constrained")
        paint(list(figure.subplots(1, columns, squeeze=False)[0]))
        svg, pdf = io.BytesIO(), io.BytesIO()
        # savefig would draw everything once more before each of them, and lay it out again.
        FigureCanvasSVG(figure).print_svg(svg, metadata={"Date": None, "Creator": None})
        figure.set_layout_engine("none")
        FigureCanvasPdf(figure).print_pdf(pdf, metadata={"CreationDate": None})
    return Drawing(name, title, alt, svg.getvalue(), pdf.getvalue(), csv_text([fields, *numbers]))


def slug(*parts: str) -> str:
    """A file name of letters, digits, hyphens and underscores, which names may hold too."""
    return "-".join(re.sub(r"[^A-Za-z0-9_]+", "-", part).strip("-") for part in parts)
