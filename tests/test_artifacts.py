"""Artefacts and the store: whole or absent, equal bytes for equal content, damage noticed."""

import errno
import json
import os
import threading
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dpc import artifacts
from dpc.artifacts import Artifact
from dpc.errors import DpcError
from dpc.files import write_atomically
from dpc.store import Store

SAMPLE = Artifact(
    {"b": np.arange(6, dtype=np.float32).reshape(2, 3), "a": np.array([1, 2], dtype=np.int64)},
    {"accuracy": 71.25, "names": ["café", "ω"]},
    {"stage": "tune", "params": {"lr": 0.1}},
)


def saved(tmp_path: Path, artifact: Artifact = SAMPLE) -> Path:
    path = tmp_path / "x.safetensors"
    write_atomically(path, artifacts.encode(artifact))
    return path


def test_round_trip(tmp_path):
    found = artifacts.read(saved(tmp_path))
    assert found.results == SAMPLE.results
    assert found.provenance == SAMPLE.provenance
    assert {k: v.tolist() for k, v in found.tensors.items()} == {
        k: v.tolist() for k, v in SAMPLE.tensors.items()
    }
    assert found.content == SAMPLE.content


def test_equal_artefacts_give_equal_bytes_in_any_order():
    other = Artifact(
        dict(reversed(SAMPLE.tensors.items())),
        dict(reversed(SAMPLE.results.items())),
        dict(reversed(SAMPLE.provenance.items())),
    )
    assert artifacts.encode(other) == artifacts.encode(SAMPLE)


def test_content_does_not_depend_on_provenance_but_on_everything_else():
    tensors, results = dict(SAMPLE.tensors), dict(SAMPLE.results)
    assert Artifact(tensors, results, {}).content == SAMPLE.content
    assert Artifact(tensors, results | {"accuracy": 71.26}).content != SAMPLE.content
    assert Artifact(tensors | {"a": tensors["a"] + 1}, results).content != SAMPLE.content
    reshaped = {"b": tensors["b"].reshape(3, 2)}
    assert Artifact(tensors | reshaped, results).content != SAMPLE.content
    renamed = {"c": tensors["a"], "b": tensors["b"]}
    assert Artifact(renamed, results).content != SAMPLE.content


@contextmanager
def written(raw: bytes):
    """A file that holds ``raw``."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "x.safetensors"
        path.write_bytes(raw)
        yield path


@given(st.integers(0, 10**6), st.integers(0, 7))
def test_any_flipped_bit_is_noticed(position, bit):
    raw = bytearray(artifacts.encode(SAMPLE))
    raw[position % len(raw)] ^= 1 << bit
    for look in (artifacts.read, artifacts.examine):
        with written(bytes(raw)) as path, pytest.raises(DpcError) as caught:
            look(path, "run it again")
        assert "\n" not in str(caught.value)


@given(st.integers(0, 10**6))
def test_any_truncation_is_noticed(length):
    raw = artifacts.encode(SAMPLE)
    for look in (artifacts.read, artifacts.examine):
        match = "truncated or not an artefact"
        with written(raw[: length % len(raw)]) as path, pytest.raises(DpcError, match=match):
            look(path, "run it again")


@pytest.mark.parametrize("piece", [1, 30, 2**26])
def test_a_file_that_is_examined_in_pieces_is_the_one_that_is_read(monkeypatch, piece):
    monkeypatch.setattr(artifacts, "PIECE", piece)
    generator = np.random.default_rng(0)
    tensors = {
        "train.features": generator.normal(size=(7, 3, 2)).astype(np.float32),
        "train.labels": np.arange(7),
        "val.items": np.frombuffer(b"[1,2]", np.uint8),
        "scale": np.float32(3.0),
        "nothing": np.zeros((0, 4), np.float16),
    }
    made = Artifact(tensors, {"a": 1}, {"stage": "x"})
    with written(artifacts.encode(made)) as path:
        read = artifacts.read(path)
        for prefixes in ((), ("train.",), ("val.", "scale"), ("absent.",)):
            found = artifacts.examine(path, "", prefixes)
            assert found == (read.results, read.provenance, read.content, read.part(*prefixes))
            assert found.part == made.part(*prefixes)


def test_an_edited_json_artefact_is_noticed(tmp_path):
    path = tmp_path / "m.json"
    path.write_bytes(artifacts.encode_json({"classnames": ["cat", "dog"]}, {}))
    assert artifacts.read(path).results == {"classnames": ["cat", "dog"]}
    path.write_text(path.read_text().replace("dog", "fox"))
    with pytest.raises(DpcError, match=r"m\.json was changed after it was written; run"):
        artifacts.read(path, "run `dpc prepare` again")


def test_numbers_that_are_not_finite_are_no_results():
    with pytest.raises(ValueError, match="not JSON compliant"):
        artifacts.encode(Artifact(results={"loss": float("nan")}))


def full(*arguments, **options):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_full_disk_is_one_line_and_the_old_file_stays(tmp_path, monkeypatch):
    path = saved(tmp_path)
    before = path.read_bytes()
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(DpcError, match=r"x\.safetensors: no space left on its disk") as caught:
        write_atomically(path, b"new")
    assert "\n" not in str(caught.value)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_a_write_that_dies_leaves_the_old_file(tmp_path, monkeypatch):
    path = saved(tmp_path)
    before = path.read_bytes()

    def dies(self, target):
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "replace", dies)
    with pytest.raises(KeyboardInterrupt):
        write_atomically(path, b"new")
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


# The store


@pytest.fixture()
def store(tmp_path) -> Store:
    return Store(tmp_path / "store")


def test_the_store_gives_back_what_was_put(store, tmp_path):
    targets = {"a.json": tmp_path / "out" / "one.json", "b.bin": tmp_path / "two"}
    assert store.take("key", targets) is None
    store.put("key", {"a.json": b"{}", "b.bin": b"\0\1"}, {"torch": "2"})
    entry = store.take("key", targets)
    assert entry is not None
    assert entry.versions == {"torch": "2"}
    assert (tmp_path / "out" / "one.json").read_bytes() == b"{}"
    assert (tmp_path / "two").read_bytes() == b"\0\1"


@pytest.mark.parametrize("damage", ["flip", "cut", "remove", "index", "index gone"])
def test_a_damaged_entry_is_dropped_and_nothing_of_it_is_handed_out(store, tmp_path, damage):
    store.put("key", {"a": b"content"}, {})
    file, index = store.root / "key" / "a", store.root / "key" / "index.json"
    if damage == "flip":
        file.write_bytes(b"cOntent")
    elif damage == "cut":
        file.write_bytes(b"cont")
    elif damage == "remove":
        file.unlink()
    elif damage == "index":
        index.write_text("{")
    else:
        index.unlink()
    target = tmp_path / "target"
    assert store.take("key", {"a": target}) is None
    assert not target.exists()
    store.put("key", {"a": b"content"}, {})
    assert store.take("key", {"a": target}) is not None
    assert target.read_bytes() == b"content"


def test_a_full_disk_leaves_no_half_entry(store, monkeypatch):
    monkeypatch.setattr(Path, "write_text", full)  # the index comes last
    with pytest.raises(DpcError, match="no space left"):
        store.put("key", {"a": b"content"}, {})
    assert [path.name for path in store.root.iterdir()] == []


def test_many_writers_of_one_key_do_not_collide(store, tmp_path):
    def put():
        for _ in range(20):
            store.put("key", {"a": b"content" * 1000}, {})

    threads = [threading.Thread(target=put) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert store.take("key", {"a": tmp_path / "t"}) is not None
    assert [path.name for path in store.root.iterdir()] == ["key"]


def test_trimming_drops_what_was_not_used_longest(store, tmp_path):
    for age, key in enumerate(["newest", "middle", "oldest"]):
        store.put(key, {"a": b"x" * 1000}, {})
        index = store.root / key / "index.json"
        os.utime(index, (1000 - age, 1000 - age))
    size = sum(file.stat().st_size for file in (store.root / "newest").iterdir())
    dropped, kept = store.collect(2 * size + 10)
    assert dropped == 1
    assert kept <= 2 * size + 10
    assert {path.name for path in store.root.iterdir()} == {"newest", "middle"}


def test_the_index_is_plain_json(store):
    store.put("key", {"a": b"content"}, {"torch": "2"})
    index = json.loads((store.root / "key" / "index.json").read_text())
    assert set(index) == {"files", "versions"}
