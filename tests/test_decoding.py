"""Images decoded by other processes: the same bytes, and errors that name the file."""

import dataclasses
import multiprocessing
import os
import signal
import time
import traceback
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
from dpc.stages.memory import run_within
from dpc.stages.pictures import Pictures
from dpc.stages.runner import Job

pytestmark = pytest.mark.slow  # whole stages and commands

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


def test_an_archive_that_is_gone_when_a_process_opens_it_is_one_line(root):
    params, layout = with_workers(load(), 2), Layout()
    archive, away = layout.images("icons-tabler"), Path("away.zip")
    clip = clip_for(params)
    with Pictures(params, layout, "icons-tabler", clip) as pictures:
        items = Manifest.from_json(artifacts.read(layout.manifest("shapes")).results).splits["test"]
        archive.rename(away)
        try:
            with pytest.raises(DpcError, match=r"^\S*images\.zip is missing .* again$"):
                list(pictures.plain_batches(items))
        finally:
            away.rename(archive)


def features_by(render, consume=lambda batch: None):
    """A stage that decodes in two processes."""

    def make(*_):
        for batch in decoding.batches(render, 9, 2):
            consume(batch)
        return {}

    return Job("features", {"dataset": "shapes"}, {"params": {}, "code": ""}, {}, {}, make)


STOPPED = "^features shapes: a process that decodes images was stopped .* run.workers: 0[^\n]*$"


def test_a_process_that_was_killed_is_one_line(root):
    def render(number):
        if number == 5:
            os.kill(os.getpid(), signal.SIGKILL)
        return np.zeros(1)

    with pytest.raises(DpcError, match=STOPPED):
        run_within(load(), features_by(render))


def test_a_process_that_is_killed_while_this_one_computes_is_one_line(root):
    """The signal handler of torch raises in the midst of it."""

    def consume(batch):
        for process in multiprocessing.active_children():
            process.kill()
        end = time.monotonic() + 20
        while time.monotonic() < end:
            torch.ones(100).sum()
        raise AssertionError("nothing was raised here")

    with pytest.raises(DpcError, match=STOPPED):
        run_within(load(), features_by(lambda number: np.zeros(1), consume))


@pytest.mark.parametrize("kind", [ValueError, RuntimeError])
def test_what_else_goes_wrong_keeps_its_type(root, kind):
    def broken(number):
        raise kind(f"{number} is wrong")

    with pytest.raises(kind, match="0 is wrong"):
        list(decoding.batches(broken, 9))
    with pytest.raises(kind, match="is wrong") as raised:
        run_within(load(), features_by(broken))
    traceback.clear_frames(raised.tb)  # else its processes live until memory is swept


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
    shared = checked(preset("smoke", ["run.gpu_share=2"]), "smoke")
    assert decoding.workers(shared, cuda) == 2
    assert decoding.workers(with_workers(params, 3), CPU) == 3
    assert decoding.workers(with_workers(params, 0), cuda) == 0
