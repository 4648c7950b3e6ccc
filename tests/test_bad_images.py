"""Image files as they lie on disks: what is read all the same, and one line for what is not."""

import io
import os
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from own_images import ROOT, draw, params
from PIL import Image, ImageOps

from dpc.datasets import on_disk
from dpc.datasets.base import Images, Item, decode
from dpc.errors import DpcError

BAD = ROOT / "train/cat/1.jpg"


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch) -> None:
    """Two classes of images; the test puts one more into the place of BAD."""
    monkeypatch.chdir(tmp_path)
    draw(*(f"{split}/{key}/0.png" for split in ("train", "test") for key in ("cat", "dog")))


def pixels(mode: str = "RGB") -> Image.Image:
    values = np.random.default_rng(0).integers(0, 256, (30, 20, 3), dtype=np.uint8)
    return Image.fromarray(values).convert(mode)


def encoded(image: Image.Image, form: str, **options) -> bytes:
    file = io.BytesIO()
    image.save(file, form, **options)
    return file.getvalue()


def put(content: bytes) -> Path:
    BAD.write_bytes(content)
    return BAD


def refused(words: str) -> None:
    for _ in range(2):  # the second verdict is a remembered one
        with pytest.raises(DpcError, match=words) as caught:
            on_disk.read("pets", params())
        assert "\n" not in str(caught.value)


def accepted(content: bytes) -> Image.Image:
    """Through the reader, and as the features see it."""
    put(content)
    raw = on_disk.read("pets", params())
    (item,) = [item for item in raw.splits["train"] if item.image == "train/cat/1.jpg"]
    with Images("pets", on_disk.image_folder("pets", params()), packed=False) as images:
        image = images.read(item)
    assert image.mode == "RGB"
    return image


def png(width: int, height: int) -> bytes:
    """A black 1-bit PNG of any size, in no time and no memory."""
    rows, packer = 1000, zlib.compressobj(1)
    line = b"\0" * (1 + (width + 7) // 8)
    parts = [packer.compress(line * min(rows, height - top)) for top in range(0, height, rows)]
    blocks = [
        (b"IHDR", struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)),
        (b"IDAT", b"".join(parts) + packer.flush()),
        (b"IEND", b""),
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        for name, data in blocks
    )


# What is read


@pytest.mark.parametrize("form", ["PNG", "GIF", "BMP", "WEBP", "TIFF", "PPM"])
def test_the_content_counts_and_not_the_name(form):
    image = pixels()
    found = accepted(encoded(image, form, **({"lossless": True} if form == "WEBP" else {})))
    expected = Image.open(BAD).convert("RGB") if form == "GIF" else image
    assert np.array_equal(found, expected)


@pytest.mark.parametrize(
    ("mode", "form"),
    [("CMYK", "JPEG"), ("L", "JPEG"), ("RGBA", "PNG"), ("LA", "PNG"), ("P", "PNG")],
)
def test_every_mode_becomes_rgb(mode, form):
    found = accepted(encoded(pixels(mode), form))
    assert np.array_equal(found, Image.open(BAD).convert("RGB"))


def test_sixteen_bits_are_scaled_and_not_cut():
    grey = np.linspace(0, 65535, 600).astype(np.uint16).reshape(30, 20)
    found = np.asarray(accepted(encoded(Image.fromarray(grey), "PNG")))[..., 0]
    assert np.abs(found.astype(float) - grey / 257).max() <= 1


def test_of_an_animation_the_first_frame_is_taken():
    frames = [Image.new("RGB", (8, 8), color) for color in ("red", "lime", "blue")]
    found = accepted(encoded(frames[0], "GIF", save_all=True, append_images=frames[1:]))
    assert found.getpixel((4, 4)) == (255, 0, 0)


def test_a_rotation_that_a_camera_asks_for_is_not_made():
    """The readers behind the published numbers do not make it either."""
    exif = Image.Exif()
    exif[0x0112] = 6
    content = encoded(pixels(), "JPEG", exif=exif)
    assert ImageOps.exif_transpose(Image.open(io.BytesIO(content))).size == (30, 20)
    assert accepted(content).size == (20, 30)


def test_bytes_after_the_image_do_no_harm():
    assert accepted(encoded(pixels(), "JPEG") + b"\0" * 100).size == (20, 30)


def test_a_hundred_megapixels_are_read_and_nothing_is_said():
    """In a process of its own: a test runner has its own mind about warnings."""
    code = (
        "import sys; from dpc.datasets.base import decode;"
        "print(decode(sys.stdin.buffer.read(), 'x').size)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], input=png(10_000, 10_000), capture_output=True, check=True
    )
    assert (done.stdout, done.stderr) == (b"(10000, 10000)\n", b"")


# What is not


def test_an_empty_file():
    put(b"")
    refused(r"image data/pets/train/cat/1\.jpg cannot be decoded \(empty\); replace")


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("share", [0.02, 0.5, 0.9])
def test_a_file_that_is_cut_off(form, share):
    content = encoded(pixels(), form)
    put(content[: int(share * len(content))])
    refused(r"train/cat/1\.jpg cannot be decoded \(")


def test_a_page_that_was_saved_in_place_of_an_image():
    put(b"<!DOCTYPE html><title>404</title>")
    refused(r"train/cat/1\.jpg cannot be decoded \(no image that is known\)")


def test_formats_that_start_programs_are_not_read():
    put(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\nshowpage\n")
    refused(r"train/cat/1\.jpg cannot be decoded \(no image that is known\)")


def test_a_decompression_bomb():
    put(png(20_000, 20_000))
    refused(r"train/cat/1\.jpg cannot be decoded \(too large to decode safely: Image size")


def test_a_link_to_itself():
    BAD.symlink_to(BAD.name)
    refused(r"image data/pets/train/cat/1\.jpg is a link that leads back to itself")


def test_a_link_to_nothing():
    BAD.symlink_to("nowhere.jpg")
    refused(r"image data/pets/train/cat/1\.jpg is missing or cannot be read")


def test_a_name_that_is_no_text():
    BAD.with_name(os.fsdecode(b"\xe9.jpg")).write_bytes(b"")
    refused(r"data/pets/train/cat: the file name b'\\xe9\.jpg' is no UTF-8; rename it")


def test_an_image_that_changed_or_went_after_it_was_prepared():
    put(encoded(pixels(), "PNG"))
    raw = on_disk.read("pets", params())
    item = next(item for item in raw.splits["train"] if item.image == "train/cat/1.jpg")
    with Images("pets", on_disk.image_folder("pets", params()), packed=False) as images:
        put(encoded(pixels("L"), "PNG"))
        with pytest.raises(DpcError, match=r"1\.jpg changed since the dataset was prepared"):
            images.read(item)
        BAD.unlink()
        with pytest.raises(DpcError, match=r"1\.jpg is missing"):
            images.read(item)
        BAD.symlink_to(BAD.name)
        with pytest.raises(DpcError, match="a link that leads back to itself"):
            images.read(item)
        with pytest.raises(DpcError, match=r"1\.jpg/2\.jpg is missing|leads back"):
            images.read(Item("train/cat/1.jpg/2.jpg", 0, ""))


SEEDS = [encoded(pixels(), form) for form in ("JPEG", "PNG", "GIF", "BMP", "WEBP", "TIFF")]


@given(
    st.sampled_from(SEEDS),
    st.lists(st.tuples(st.integers(0, 300), st.integers(0, 255)), max_size=6),
    st.floats(0.1, 1),
)
def test_whatever_the_bytes_are_there_is_an_image_or_one_line(content, changes, share):
    harmed = bytearray(content)
    for place, value in changes:
        harmed[place % len(harmed)] = value
    try:
        assert decode(bytes(harmed[: int(share * len(harmed))]), "x.jpg").mode == "RGB"
    except DpcError as problem:
        assert str(problem).startswith("image x.jpg cannot be decoded (")
        assert "\n" not in str(problem)
