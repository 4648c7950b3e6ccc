"""Images decoded by other processes: the same bytes, and errors that name the file."""

import dataclasses
import multiprocessing
import os
import signal
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from drawings import OVERRIDES, write_dataset

from dpc import artifacts
from dpc.cli import main
from dpc.datasets.base import Manifest
from dpc.errors import DpcError
from dpc.params.load import checked, description_for, load, preset
from dpc.params.render import render
from dpc.stages import decoding
from dpc.stages.features import Encoder
from dpc.stages.frozen import clip_for
from dpc.stages.layout import Layout
from dpc.stages.pictures import Pictures

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def small_batches(monkeypatch):
    monkeypatch.setattr(decoding, "BATCH", 4)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory) -> Path:
    """A set of files, and the same images in an archive, as an embedded set has them."""
    root, before = tmp_path_factory.mktemp("decoding"), Path.cwd()
    os.chdir(root)
    try:
        write_dataset(root)
        values = preset("smoke", list(OVERRIDES))
        Path("params.yaml").write_text(render(values, description_for(values)))
        assert main(["prepare", "-q"]) == 0
        archive = Layout().images("icons-tabler")
        archive.parent.mkdir(parents=True)
        with zipfile.ZipFile(archive, "w") as packed:
            for path in Path("data/shapes/images").glob("*/*.png"):
                packed.write(path, "/".join(path.parts[-2:]))
    finally:
        os.chdir(before)
    return root


@pytest.fixture()
def root(prepared, monkeypatch) -> Path:
    monkeypatch.chdir(prepared)
    return prepared


def with_workers(params, number):
    return dataclasses.replace(params, run=dataclasses.replace(params.run, workers=number))


@pytest.mark.parametrize("dataset", ["shapes", "icons-tabler"])
def test_features_are_the_same_bytes(root, dataset):
    params, layout = load(), Layout()
    manifest = Manifest.from_json(artifacts.read(layout.manifest("shapes")).results)
    items, clip = manifest.splits["test"][:11], clip_for(params)
    before = torch.get_rng_state()
    made = []
    for number in (0, 2):
        encoder = Encoder(with_workers(params, number), layout, dataset, clip, "features")
        made.append((encoder.plain(items), encoder.views(items[:3], 3)))
        assert encoder.plain([]).shape == (0, clip.embed_dim)
    for one, other in zip(*made, strict=True):
        assert one.tobytes() == other.tobytes() and len(np.unique(one, axis=0)) > 1
    assert torch.equal(torch.get_rng_state(), before)
    obvious = []
    with Pictures(params, layout, dataset, clip) as pictures, torch.no_grad():
        for item in items:
            obvious.append(clip.encode_image(torch.from_numpy(pictures.plain(item)[None])))
    np.testing.assert_allclose(made[0][0], torch.cat(obvious).numpy(), atol=1e-5)


@pytest.mark.parametrize("number", [0, 2])
def test_an_image_that_changed_is_one_line(root, capfd, number):
    path = root / "data/shapes/images/tree/6.png"
    whole = path.read_bytes()
    path.write_bytes(b"no image")
    params, layout = with_workers(load(), number), Layout()
    items = Manifest.from_json(artifacts.read(layout.manifest("shapes")).results).splits["test"]
    with pytest.raises(DpcError) as refused:
        Encoder(params, layout, "shapes", clip_for(params), "features").plain(items)
    path.write_bytes(whole)
    assert str(refused.value).startswith("data/shapes/images/tree/6.png changed since")
    assert "\n" not in str(refused.value) and "Traceback" not in capfd.readouterr().err


def test_a_process_that_was_killed_is_one_line():
    def render(number):
        if number == 5:
            os.kill(os.getpid(), signal.SIGKILL)
        return np.zeros(1)

    with pytest.raises(DpcError, match=r"a process that decodes images was stopped .* run.workers"):
        list(decoding.batches(render, 9, 2))


def test_what_else_goes_wrong_keeps_its_type():
    def broken(number):
        raise ValueError(f"{number} is wrong")

    for processes in (0, 2):
        with pytest.raises(ValueError, match="is wrong"):
            list(decoding.batches(broken, 9, processes))


def test_who_takes_no_more_leaves_no_process():
    before = set(multiprocessing.active_children())
    made = decoding.batches(lambda number: np.full(2, number), 40, 2)
    assert next(made).tolist() == [[n, n] for n in range(4)]
    made.close()
    end = time.monotonic() + 20
    while set(multiprocessing.active_children()) - before:
        assert time.monotonic() < end
        time.sleep(0.01)


def test_how_many_processes(monkeypatch):
    params = checked(preset("smoke", []), "smoke")
    cuda = torch.device("cuda", 0)
    monkeypatch.setattr(decoding, "processors", lambda: 12)
    monkeypatch.setattr(decoding, "visible_gpus", lambda: ("0a",))
    assert (decoding.workers(params, CPU), decoding.workers(params, cuda)) == (0, 8)
    monkeypatch.setattr(decoding, "visible_gpus", lambda: ("0a", "1b", "2c"))
    assert decoding.workers(params, cuda) == 4
    assert decoding.workers(with_workers(params, 3), CPU) == 3
    assert decoding.workers(with_workers(params, 0), cuda) == 0
