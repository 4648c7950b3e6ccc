"""The pictures of README and docs: ``python docs/pictures.py`` makes them again.

`method.svg` is drawn here; `tradeoff.svg` is the report's figure of the grid in `results/`. Both
bring their background and follow the reader's theme: light and dark pages show them.
"""

from itertools import count
from pathlib import Path

from dpc.report.svg import PALETTE

ROOT = Path(__file__).parents[1]
IMAGES = ROOT / "docs" / "images"
FIGURE = ROOT / "results" / "report" / "figures" / "tradeoff.svg"
PAPER = ("#ffffff", "#14171c")
TOKEN = 20  # pixels


def themed(svg: str) -> str:
    """An SVG with a background, whose palette colours follow the reader's theme."""
    rules = []
    for mode in (0, 1):
        colours = {"paper": PAPER[mode]} | {name: pair[mode] for name, pair in PALETTE.items()}
        rules.append("".join(f"--{name}:{value};" for name, value in colours.items()))
    style = f"svg{{{rules[0]}}}@media(prefers-color-scheme:dark){{svg{{{rules[1]}}}}}"
    for name, (light, _) in PALETTE.items():
        svg = svg.replace(light, f"var(--{name})")
    start = svg.index(">", svg.index("<svg")) + 1
    paper = '<rect width="100%" height="100%" rx="6" style="fill:var(--paper)"/>'
    return f"{svg[:start]}\n<style>{style}</style>\n{paper}{svg[start:]}"


def method() -> str:
    """DPC's two stages and its test, from top to bottom."""
    parts = [*_stage_one(), *_stage_two(), *_test()]
    head = (
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 560 560" width="560" height="560"'
        ' font-family="system-ui, sans-serif" font-size="15">\n'
        '<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7"'
        f' markerHeight="7" orient="auto"><path d="M0 0L8 4L0 8z" fill="{_tone("quiet")}"/>'
        "</marker></defs>\n"
    )
    return head + "\n".join(parts) + "\n</svg>\n"


def _stage_one() -> list[str]:
    return [
        _heading(30, "1", "Stage one: the backbone tunes P"),
        _text(20, 74, "P", "tone_1"),
        *_tokens(48, 58, ["tone_1"] * 4),
        _box(136, 54, 96, "class name"),
        _arrow("M240 68H268"),
        _box(274, 54, 108, "frozen CLIP"),
        _arrow("M390 68H418"),
        _text(424, 73, "its own loss"),
        _text(48, 108, "on images of the base classes. From here on P does not change.", "quiet"),
    ]


def _stage_two() -> list[str]:
    names = (("owl", "its own class"), ("kite", ""), ("kestrel", ""), ("gull", "far: left out"))
    rows = []
    for row, (name, note), length in zip(count(), names, (120, 104, 88, 30), strict=False):
        tone = ("tone_1", "tone_2", "tone_2", "faint")[row]
        y = 232 + 24 * row
        rows += [
            _text(20, y + 13, name),
            f'<rect x="82" y="{y}" width="{length}" height="16" rx="3" fill="{_tone(tone)}"/>',
            _text(88 + length, y + 13, note, "quiet"),
        ]
    return [
        _heading(150, "2", "Stage two: P' learns what P confuses"),
        _arrow("M16 69H7V190H13"),
        _text(18, 196, "P'", "tone_2"),
        *_tokens(48, 180, ["tone_2"] * 4),
        _text(140, 196, "a copy of P, tuned further", "quiet"),
        *rows,
        _text(20, 344, "P ranks the base classes for an image of an owl.", "quiet"),
        f'<path d="M222 254h8v42h-8" fill="none" stroke-width="2" stroke="{_tone("tone_2")}"/>',
        _text(238, 280, "hard negatives", "tone_2"),
        _arrow("M364 275H382"),
        _box(386, 248, 154, "contrastive loss", "image and text,", "of these classes alone"),
        _arrow("M463 248V191H350"),
    ]


def _test() -> list[str]:
    mixed = ["tone_1", "tone_2"] * 4
    return [
        _heading(386, "3", "Test: a mix for each task"),
        _text(20, 428, "base classes"),
        *_tokens(124, 412, mixed[:8], halves=True),
        _text(222, 428, "ω_b · P' + (1 − ω_b) · P"),
        _text(432, 428, "ω_b = 0.2", "quiet"),
        _text(20, 472, "new classes"),
        *_tokens(124, 456, ["tone_1"] * 4),
        _text(222, 472, "ω_n · P' + (1 − ω_n) · P"),
        _text(432, 472, "ω_n = 0: P", "quiet"),
        _text(
            20, 516, "New classes keep the backbone's accuracy, to the digit; P' is for", "quiet"
        ),
        _text(
            20, 538, "base classes. One must know which of the two an image belongs to.", "quiet"
        ),
    ]


def _heading(y: int, number: str, text: str) -> str:
    return (
        f'<circle cx="30" cy="{y - 5}" r="12" fill="{_tone("ink")}"/>'
        f'<text x="30" y="{y}" text-anchor="middle" font-weight="700" style="fill:var(--paper)">'
        f"{number}</text>"
        f'<text x="52" y="{y}" font-weight="700" font-size="17" fill="{_tone("ink")}">{text}</text>'
    )


def _text(x: int, y: int, text: str, tone: str = "ink") -> str:
    weight = ' font-weight="700"' if tone.startswith("tone") else ""
    return f'<text x="{x}" y="{y}" fill="{_tone(tone)}"{weight}>{text}</text>'


def _tokens(x: int, y: int, tones: list[str], halves: bool = False) -> list[str]:
    """Squares of one prompt; of a mix, every square in two colours."""
    width = TOKEN / 2 if halves else TOKEN
    gap = 2
    drawn = []
    for place, tone in enumerate(tones):
        square = place // 2 if halves else place
        left = x + square * (TOKEN + gap) + (place % 2) * width * halves
        drawn.append(
            f'<rect x="{left:g}" y="{y}" width="{width:g}" height="{TOKEN}" fill="{_tone(tone)}"/>'
        )
    return drawn


def _box(x: int, y: int, width: int, *lines: str) -> str:
    height = 8 + 20 * len(lines)
    words = "".join(
        f'<text x="{x + width // 2}" y="{y + 19 + 20 * row}" text-anchor="middle"'
        f' fill="{_tone("ink")}" font-size="{15 if row == 0 else 13}">{line}</text>'
        for row, line in enumerate(lines)
    )
    return (
        f'<rect x="{x}" y="{y}" width="{width}" height="{height}" rx="5" fill="none"'
        f' stroke="{_tone("quiet")}" stroke-width="1.5"/>{words}'
    )


def _arrow(path: str) -> str:
    return (
        f'<path d="{path}" fill="none" stroke="{_tone("quiet")}" stroke-width="1.5"'
        ' marker-end="url(#tip)"/>'
    )


def _tone(name: str) -> str:
    return PALETTE[name][0]


if __name__ == "__main__":
    (IMAGES / "method.svg").write_text(themed(method()), encoding="utf-8")
    if FIGURE.is_file():
        drawn = FIGURE.read_text(encoding="utf-8")
        (IMAGES / "tradeoff.svg").write_text(themed(drawn), encoding="utf-8")
