"""The files that icons are kept in: their bytes depend on no compressor."""

import numpy as np

from dpc.datasets.base import decode
from dpc.datasets.icons import _png


def test_an_icon_is_stored_not_compressed():
    ink = np.random.default_rng(0).integers(0, 256, (64, 64)).astype(np.uint8)
    ink[:32] = 0  # what a compressor would shorten
    content = _png(ink)
    image = decode(content, "icon")
    assert image.mode == "RGB"
    assert (np.asarray(image) == 255 - ink[:, :, None]).all()
    assert 64 * 65 < len(content) < 64 * 65 + 100
    data = content.index(b"IDAT") + 4
    header, kind, length = content[data : data + 2], content[data + 2], content[data + 3 : data + 5]
    assert header == b"\x78\x01"
    assert kind == 1, "one block, the last, stored as it is"
    assert int.from_bytes(length, "little") == 64 * 65
