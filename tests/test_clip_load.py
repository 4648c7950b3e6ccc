"""Weights: what is read, what is refused, and that each refusal is one line with the fix."""

import json
import os
import pickle

import pytest
import torch
from clip_files import golden_state, know_golden, refusal, spec_of
from golden_data import GOLDEN, facts, student_config, tensors
from safetensors.torch import load_file, save_file

from dpc.clip import spec as specs
from dpc.clip.load import load
from dpc.clip.spec import ClipSpec, weights_identity
from dpc.files import sha256

PREPROCESS = {"mean": [0.5, 0.4, 0.3], "std": [0.2, 0.2, 0.2], "interpolation": "bilinear"}


@pytest.fixture()
def local(tmp_path):
    """A local model "icons": weights with token rows, and the json beside them."""
    path = tmp_path / "mine.safetensors"
    path.write_bytes((GOLDEN / "clip_student.safetensors").read_bytes())
    config = {"model_cfg": student_config(), "preprocess_cfg": PREPROCESS}
    path.with_suffix(".json").write_text(json.dumps(config))
    return path


def test_a_local_model_with_token_rows(local, student):
    clip = load(spec_of(local))
    golden = tensors("coop")
    assert torch.equal(
        clip.encode_text(golden["clip.tokens"]), student.encode_text(golden["clip.tokens"])
    )
    assert clip.mean == (0.5, 0.4, 0.3) and clip.std == (0.2, 0.2, 0.2)
    assert clip.interpolation == "bilinear"
    assert clip.image_size == 32 and clip.context_length == 77
    assert (clip.text_width, clip.image_width, clip.embed_dim) == (64, 128, 32)
    assert (clip.text_layers, clip.image_layers) == (4, 4)
    assert float(clip.logit_scale) == pytest.approx(25, rel=1e-6)
    assert clip.device == torch.device("cpu")


def test_half_precision_files_become_fp32(local):
    state = {name: v.half() if v.is_floating_point() else v for name, v in load_file(local).items()}
    save_file(state, local)
    clip = load(spec_of(local))
    assert {value.dtype for value in clip.model.parameters()} == {torch.float32}


def test_the_embedded_model(local, monkeypatch, tmp_path):
    monkeypatch.setattr(specs, "WEIGHTS_FOLDER", tmp_path)
    refusal(lambda: load(ClipSpec(device="cpu")), "icons.safetensors", "no such file")
    os.link(local, tmp_path / "icons.safetensors")
    os.link(local.with_suffix(".json"), tmp_path / "icons.json")
    assert load(ClipSpec(device="cpu")).embed_dim == 32
    identity = weights_identity(ClipSpec())
    assert identity == {
        "model": "icons",
        "pretrained": "embedded",
        "sha256": sha256(local),
        "config_sha256": sha256(local.with_suffix(".json")),
    }


EMBEDDED = specs.WEIGHTS_FOLDER / "icons.safetensors"


@pytest.mark.skipif(not EMBEDDED.is_file(), reason="the embedded weights are not made yet")
def test_the_embedded_weights_that_come_with_the_package():
    clip = load(ClipSpec(device="cpu"))
    images = torch.zeros(1, 3, clip.image_size, clip.image_size)
    assert clip.encode_image(images).shape == (1, clip.embed_dim)
    texts = clip.encode_text(clip.tokenize(["a photo of a star."]))
    assert texts.shape == (1, clip.embed_dim) and texts.isfinite().all()
    assert clip.unknown_words(["a photo of a star."]) == []


@pytest.mark.parametrize("share", [0.999, 0.5, 0.01, 0.0])
def test_a_truncated_file_names_file_tensor_and_shape(local, share):
    content = local.read_bytes()
    local.write_bytes(content[: int(len(content) * share)])
    message = refusal(lambda: load(spec_of(local)), str(local), "fetch it again")
    if share > 0.01:
        assert "expected shape (" in message and "found" in message


def test_a_tensor_of_another_shape_is_named_with_both_shapes(local):
    state = load_file(local)
    state["text_projection"] = torch.zeros(64, 31)
    save_file(state, local)
    refusal(lambda: load(spec_of(local)), str(local), "'text_projection'", "(64, 31)", "(64, 32)")


def test_a_missing_or_foreign_tensor_is_named(local):
    state = load_file(local)
    del state["ln_final.bias"]
    save_file(state, local)
    refusal(lambda: load(spec_of(local)), str(local), "'ln_final.bias' is missing", "(64,)")
    save_file({**state, "ln_final.bias": torch.zeros(64), "more": torch.zeros(1)}, local)
    refusal(lambda: load(spec_of(local)), str(local), "'more' has no place")


def test_token_rows_that_fit_no_vocabulary_are_named(local):
    state = load_file(local)
    state["token_rows"][0] = 49408
    save_file(state, local)
    refusal(lambda: load(spec_of(local)), str(local), "'token_rows'", "49408")
    del state["token_embedding_rows"]
    save_file(state, local)
    refusal(lambda: load(spec_of(local)), str(local), "'token_embedding_rows'")


def test_a_json_without_its_keys_is_named(local):
    local.with_suffix(".json").write_text("{}")
    refusal(lambda: load(spec_of(local)), "mine.json", "model_cfg")
    config = {"model_cfg": student_config(), "preprocess_cfg": {"mean": [0.5, 0.5, 0.5]}}
    local.with_suffix(".json").write_text(json.dumps(config))
    refusal(lambda: load(spec_of(local)), "mine.json", "'std'")
    config["preprocess_cfg"]["std"] = [0.5]
    local.with_suffix(".json").write_text(json.dumps(config))
    refusal(lambda: load(spec_of(local)), "mine.json", "(3, 1)")
    local.with_suffix(".json").unlink()
    refusal(lambda: load(spec_of(local)), "mine.json", "no such file")


@pytest.fixture()
def small_architecture(monkeypatch):
    know_golden(monkeypatch)


@pytest.mark.parametrize("wrap", [False, True])
@pytest.mark.parametrize("suffix", [".pt", ".bin", ".safetensors"])
def test_plain_tensor_files(tmp_path, small_architecture, student, suffix, wrap):
    path, state = tmp_path / f"weights{suffix}", golden_state()
    if suffix == ".safetensors":
        save_file(state, path)
    else:
        state = {f"module.{name}": value for name, value in state.items()} if wrap else state
        torch.save({"state_dict": state, "epoch": 3} if wrap else state, path)
    clip = load(spec_of(path, "golden"))
    tokens = clip.tokenize(["a photo of a cat."])
    assert torch.equal(clip.encode_text(tokens), student.encode_text(tokens))
    assert weights_identity(spec_of(path, "golden"))["sha256"] == sha256(path)


class Trap:
    def __reduce__(self):
        return os.mkdir, (os.environ["DPC_TEST_TRAP"],)


@pytest.mark.filterwarnings("ignore:.*torch.jit:FutureWarning")
@pytest.mark.parametrize("form", ["torch", "pickle", "noise", "empty", "script"])
def test_files_that_could_run_code_are_not_opened(tmp_path, monkeypatch, small_architecture, form):
    trap, path = tmp_path / "trap", tmp_path / "foreign.pt"
    monkeypatch.setenv("DPC_TEST_TRAP", str(trap))
    if form == "torch":
        torch.save({"state_dict": {"x": Trap()}}, path)
    elif form == "pickle":
        path.write_bytes(pickle.dumps(Trap()))
    elif form == "script":
        torch.jit.save(torch.jit.script(torch.nn.Linear(2, 2)), str(path))
    else:
        path.write_bytes(b"" if form == "empty" else bytes(range(256)) * 8)
    refusal(lambda: load(spec_of(path, "golden")), str(path), "safetensors")
    assert not trap.exists()


def test_tensors_of_no_dict_are_refused(tmp_path, small_architecture):
    path = tmp_path / "list.bin"
    torch.save([torch.zeros(2)], path)
    refusal(lambda: load(spec_of(path, "golden")), str(path), "dict of tensors")


def test_random_models_are_asked_for_by_name_and_repeat(generator):
    """An open_clip architecture, ViT-B/16's shape made smaller, two loads, prompts in both."""
    before = torch.random.get_rng_state()
    one = load(ClipSpec("ViT-S-32-alt", "random:7", device="cpu"))
    assert torch.equal(torch.random.get_rng_state(), before)
    two = load(ClipSpec("ViT-S-32-alt", "random:7", device="cpu"))
    for name, value in one.model.state_dict().items():
        assert torch.equal(value, two.model.state_dict()[name])
    tokens = one.tokenize(["a photo of a cat.", "a photo of a large dog."])
    context = 0.02 * torch.randn(4, one.text_width, generator=generator)
    view = 0.02 * torch.randn(4, one.image_width, generator=generator)
    images = torch.randn(2, 3, one.image_size, one.image_size, generator=generator)
    with torch.no_grad():
        plain = one.model.encode_text(tokens), one.model.encode_image(images)
    torch.testing.assert_close(one.encode_text(tokens), plain[0], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(one.encode_image(images), plain[1], rtol=1e-4, atol=1e-5)
    assert one.encode_text(tokens, [context, context]).shape == (2, one.embed_dim)
    assert one.encode_image(images, [view, view]).shape == (2, one.embed_dim)


def test_the_golden_model_has_the_released_sizes():
    assert facts("clip_student")["quick_gelu"] is True
