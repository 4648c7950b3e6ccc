import numpy as np
from PIL import Image

from dpc.icons.duplicates import nearest, without_duplicates
from dpc.icons.render import Drawing, fit, render, svg_ink

CIRCLE = '<svg viewBox="0 0 24 24"><circle cx="{}" cy="9" r="{}" fill="currentColor"/></svg>'
SQUARE = '<svg viewBox="0 0 24 24"><rect width="9" height="9" fill="#123456"/></svg>'


def drawing(text, name="icon"):
    return Drawing("test", name, svg_ink(text))


def test_ink_is_centred_of_one_size_and_blank_drawings_have_none():
    ink = svg_ink(CIRCLE.format(7, 3))
    assert ink.shape == (64, 64)
    assert ink.dtype == np.uint8
    rows = np.flatnonzero(ink.max(axis=1) > 128)
    assert 3 <= rows[0] <= 6
    assert 57 <= rows[-1] <= 60
    assert svg_ink("<svg viewBox='0 0 9 9'></svg>") is None
    assert fit(Image.new("L", (9, 9), 0)) is None


def test_place_size_and_colour_do_not_matter():
    small, large = svg_ink(CIRCLE.format(7, 4)), svg_ink(CIRCLE.format(12, 7))
    assert np.corrcoef(small.ravel(), large.ravel())[0, 1] > 0.97


def test_near_equal_drawings_are_found_by_image_and_removed():
    own = [drawing(CIRCLE.format(7, 4), "ball"), drawing(SQUARE, "square")]
    others = [drawing(CIRCLE.format(12, 7), "other name")]
    best, which = nearest(own, others)
    assert best[0] > 0.95 > best[1]
    assert which.tolist() == [0, 0]
    assert [left.name for left in without_duplicates(own, others)] == ["square"]
    assert without_duplicates(own, []) == own


def test_a_font_family_renders_the_same_twice():
    first = render("typicons")
    render.cache_clear()
    second = render("typicons")
    assert len(first) == len(second) > 300
    assert all(np.array_equal(a.ink, b.ink) for a, b in zip(first, second, strict=True))
