"""Files that are no checkpoint, or only look like one: each is one line, and read at no cost."""

import zipfile
from pathlib import Path

import dassl_files
import pytest
import torch
from test_import import LAYOUTS, drawn, made, official, refusal, unfitting

from dpc.errors import DpcError
from dpc.exchange.checkpoint import read_checkpoint
from dpc.exchange.importing import read_foreign


def saved(path: Path, state) -> Path:
    torch.save({"state_dict": state}, path)
    return path


@pytest.mark.parametrize(
    ("context", "words"),
    [
        (torch.tensor(1.0), "prompt_learner.ctx is (); a context (tokens, width) is expected"),
        (torch.zeros(4), "prompt_learner.ctx is (4,); a context (tokens, width) is expected"),
        (torch.zeros(1, 1, 4, 8), "is (1, 1, 4, 8); a context (tokens, width) is expected"),
        (torch.zeros(4, 8, dtype=torch.complex64), "is of torch.complex64; floating-point"),
        (torch.zeros(4, 8, dtype=torch.int64), "is of torch.int64; floating-point"),
        (torch.zeros(4, 8, dtype=torch.bool), "is of torch.bool; floating-point"),
    ],
)
def test_a_context_of_another_kind_is_one_line(tmp_path, context, words):
    assert words in refusal(saved(tmp_path / "m", {"ctx": context}))


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("image_encoder.VPT", torch.tensor(1.0), "is a single number"),
        ("VPT_image_trans.conv1.0.weight", torch.zeros(48, 32, dtype=torch.int8), "torch.int8"),
        ("VPT_image_trans.conv1.1.num_batches_tracked", torch.tensor(1j), "torch.complex64"),
    ],
)
def test_other_tensors_of_another_kind_are_one_line(tmp_path, name, value, words):
    state = official("promptkd")
    assert read_foreign(saved(tmp_path / "fine", state), LAYOUTS).backbone == "promptkd"
    assert state[name].is_floating_point() or name.endswith("num_batches_tracked")
    assert words in refusal(saved(tmp_path / "m", state | {name: value}))


def test_whole_numbers_do_not_fit_where_fractions_are_expected():
    state = made("promptkd").state_dict()
    counter = "projector.1.num_batches_tracked"
    said = unfitting("promptkd", state | {counter: state[counter].float()}, state)
    assert said == f"FILE: {counter} is of torch.float32, torch.int64 is expected"


@pytest.mark.parametrize("name", ["ctx", "token_suffix"])
def test_a_tensor_that_claims_more_than_is_stored_is_one_line(tmp_path, name):
    """A few bytes that say they are a terabyte; a part of a larger storage is as good as any."""
    state = {"ctx": torch.zeros(8, 8)[:4], "token_suffix": torch.zeros(3, 72, 8)[:2]}
    assert read_foreign(saved(tmp_path / "fine", state), LAYOUTS).backbone == "coop"
    claimed = torch.zeros(1).expand(*(2**16 for _ in range(state[name].ndim)))
    path = saved(tmp_path / "m", state | {name: claimed})
    assert path.stat().st_size < 10_000
    assert f"{name} is {tuple(claimed.shape)}" in refusal(path)


@pytest.mark.parametrize("how", [zipfile.ZIP_DEFLATED, zipfile.ZIP_LZMA])
def test_a_compressed_file_is_one_line(tmp_path, how):
    whole, path = saved(tmp_path / "whole", official("coop")), tmp_path / "m"
    with zipfile.ZipFile(whole) as before, zipfile.ZipFile(path, "w", how) as after:
        for name in before.namelist():
            after.writestr(name, before.read(name))
    assert "is compressed inside, which torch.save never does" in refusal(path)
    content = bytearray(path.read_bytes())
    content[60:2000] = bytes(1940)
    path.write_bytes(content)
    refusal(path)


def test_a_disk_that_gives_no_reason_is_one_line(tmp_path, monkeypatch):
    path = saved(tmp_path / "m", official("coop"))

    def broken(*_, **__):
        raise OSError("no medium")

    monkeypatch.setattr(Path, "open", broken)
    assert "cannot be read (no medium)" in refusal(path)


def test_a_state_dict_by_itself_is_a_checkpoint(tmp_path, monkeypatch):
    state = official("maple")
    torch.save(state, tmp_path / "alone")
    alone = read_foreign(tmp_path / "alone", LAYOUTS)
    whole = read_foreign(dassl_files.save(tmp_path / "whole", state, monkeypatch), LAYOUTS)
    assert (alone.backbone, alone.checkpoint.epoch) == ("maple", None)
    assert alone.tensors.keys() == whole.tensors.keys()
    assert all(torch.equal(alone.tensors[key], whole.tensors[key]) for key in whole.tensors)


@pytest.mark.parametrize("wrapped", [False, True])
def test_many_and_odd_names_are_one_short_line(tmp_path, wrapped):
    content = {"two\nlines": drawn(1), "x" * 5000: drawn(1)}
    content |= {f"layer{number}.weight": drawn(1) for number in range(400)}
    path = tmp_path / "m"
    torch.save({"state_dict": content} if wrapped else content | {"epoch": 3}, path)
    said = refusal(path)
    assert r"two\nlines" in said and f"and {396 + (not wrapped)} more" in said
    assert len(said) < len(str(path)) + 1400


def test_a_name_that_is_asked_for_is_one_short_line(tmp_path):
    path = tmp_path / "m"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("m/data.pkl", b"\x80\x02cos\n" + b"a\r" * 5000 + b"\n.")
    with pytest.raises(DpcError) as caught:
        read_checkpoint(path)
    assert "asks for 'os." in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1
    assert len(str(caught.value)) < len(str(path)) + 200
