"""Named drawings -> ink maps: 64x64 uint8, 255 where there is ink, centred, all of one size."""

import io
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

import numpy as np
import resvg_py
from PIL import Image, ImageDraw, ImageFont

from dpc.icons.families import Font, Svgs, code_points, family, locate, svg_texts

SIZE = 64
BOX = 56  # the longer side of the ink; equal size and place remove most differences of style
FAINTEST = 60  # a map whose darkest pixel is fainter than this counts as blank


@dataclass(frozen=True)
class Drawing:
    """One icon: its family, the name the family gives it, its ink map (64, 64) uint8."""

    family: str
    name: str
    ink: np.ndarray


@cache
def render(name: str) -> tuple[Drawing, ...]:
    """All drawings of a family that are not blank, in the family's own order.

    Raises:
        DpcError: an unknown family, or a package that is missing or of another version.
    """
    drawings = []
    for source in family(name).sources:
        inks = _font_inks(name, source) if isinstance(source, Font) else _svg_inks(name, source)
        drawings += [
            Drawing(name, icon, ink)
            for icon, ink in inks
            if ink is not None and ink.max() > FAINTEST
        ]
    return tuple(drawings)


def fit(ink: Image.Image) -> np.ndarray | None:
    """Crop to the ink, scale its longer side to 56, centre it in 64x64; None if there is no ink."""
    bounds = ink.getbbox()
    if bounds is None:
        return None
    ink = ink.crop(bounds)
    scale = BOX / max(ink.size)
    width, height = (max(1, round(side * scale)) for side in ink.size)
    paper = Image.new("L", (SIZE, SIZE), 0)
    resized = ink.resize((width, height), Image.Resampling.LANCZOS)
    paper.paste(resized, ((SIZE - width) // 2, (SIZE - height) // 2))
    return np.asarray(paper)


def svg_ink(text: str) -> np.ndarray | None:
    """The alpha channel of an SVG drawing, fitted; the colour of the lines does not matter."""
    png = resvg_py.svg_to_bytes(
        svg_string=text.replace("currentColor", "#000"), width=SIZE, height=SIZE
    )
    return fit(Image.open(io.BytesIO(bytes(png))).convert("RGBA").getchannel("A"))


def _svg_inks(name: str, source: Svgs) -> Iterator[tuple[str, np.ndarray | None]]:
    for icon, text in svg_texts(name, source):
        if "<symbol" not in text:  # a sprite of the whole family is no drawing
            yield icon, svg_ink(text)


def _font_inks(name: str, source: Font) -> Iterator[tuple[str, np.ndarray | None]]:
    font = ImageFont.truetype(str(locate(name, source.file)), BOX)
    for icon, code in code_points(name, source).items():
        left, top, right, bottom = (round(side) for side in font.getbbox(chr(code)))
        if right - left < 2 or bottom - top < 2:
            continue
        ink = Image.new("L", (right - left, bottom - top), 0)
        ImageDraw.Draw(ink).text((-left, -top), chr(code), fill=255, font=font)
        yield icon, fit(ink)
