"""Names: which model and weights fit, how images are prepared for them, what identifies them."""

import json
import shutil
import subprocess
import sys

import open_clip
import pytest
import torch
from clip_files import golden_state, know_golden, refusal, spec_of
from golden_data import GOLDEN, student_config
from safetensors.torch import save_file

from dpc.clip import load as loading
from dpc.clip import spec as specs
from dpc.clip import weights_io
from dpc.clip.load import check_pair, load, resolve_device
from dpc.clip.spec import ClipSpec, check_spec, weights_identity
from dpc.errors import DpcError
from dpc.files import sha256


@pytest.fixture()
def small_architecture(monkeypatch):
    know_golden(monkeypatch)


def test_openai_archives_are_known_by_their_hash(tmp_path, monkeypatch):
    path = tmp_path / "ViT-B-16.pt"
    path.write_bytes(b"anything")
    assert weights_io.openai_models(path) == []
    published = "5806e77cd80f8b59890b7e101eabd078d9fb84e6937f9e85e4ecb61988df416f"  # ViT-B/16
    monkeypatch.setattr(weights_io, "sha256", lambda _: published)
    assert set(weights_io.openai_models(path)) == {"ViT-B-16", "ViT-B-16-quickgelu"}
    refusal(lambda: load(spec_of(path, "ViT-L-14")), str(path), "write clip.model: ViT-B-16")


@pytest.mark.filterwarnings("ignore:.*torch.jit:FutureWarning")
def test_an_openai_archive_is_built_with_quick_gelu(
    tmp_path, monkeypatch, small_architecture, student
):
    """The published hash is pretended; the archive is a scripted module with OpenAI's names."""
    path, state = tmp_path / "openai.pt", golden_state()
    holder = torch.nn.Module()
    for name, value in state.items():
        inner = holder
        *parents, leaf = name.split(".")
        for parent in parents:
            if not hasattr(inner, parent):
                inner.add_module(parent, torch.nn.Module())
            inner = getattr(inner, parent)
        inner.register_buffer(leaf, value.half())
    holder.register_buffer("input_resolution", torch.tensor(32))
    torch.jit.save(torch.jit.script(holder), str(path))
    monkeypatch.setattr(loading, "openai_models", lambda _: ["golden"])
    slow = {**student_config(), "quick_gelu": False}
    monkeypatch.setattr(open_clip, "get_model_config", lambda _: {**slow})
    clip = load(spec_of(path, "golden"))
    assert type(clip.model.transformer.resblocks[0].mlp.gelu).__name__ == "QuickGELU"
    tokens = clip.tokenize(["a photo of a cat."])
    torch.testing.assert_close(
        clip.encode_text(tokens), student.encode_text(tokens), rtol=0.02, atol=0.02
    )


@pytest.mark.parametrize(
    ("model", "tag", "right"),
    [
        ("ViT-B-32", "laion400m_e32", "ViT-B-32-quickgelu"),
        ("ViT-B-16", "dfn2b", "ViT-B-16-quickgelu"),
    ],
)
def test_a_pair_with_another_gelu_names_the_right_model(model, tag, right):
    cfg = open_clip.get_pretrained_cfg(model, tag)
    assert cfg.get("quick_gelu")
    refusal(lambda: check_pair(model, tag), tag, f"write clip.model: {right}")
    check_pair(right, tag)


def test_the_reverse_pair_is_refused_too(monkeypatch):
    known = open_clip.get_pretrained_cfg
    monkeypatch.setattr(
        open_clip, "get_pretrained_cfg", lambda model, tag: {**known("ViT-B-16", tag)}
    )
    refusal(
        lambda: check_pair("ViT-B-16-quickgelu", "laion2b_s34b_b88k"),
        "trained with GELU",
        "write clip.model: ViT-B-16",
    )


def test_no_published_pair_is_left_ambiguous():
    """Every tag of every ViT either fits, is OpenAI's, or names an architecture that exists."""
    for model, tag in open_clip.list_pretrained():
        try:
            check_pair(model, tag)
        except DpcError as refused:
            right = str(refused).rsplit(" ", 1)[1]
            assert open_clip.get_model_config(right) is not None, (model, tag)


@pytest.mark.parametrize("model", ["ViT-B-16", "ViT-B-16-quickgelu"])
def test_openai_weights_are_always_built_with_quick_gelu(model, monkeypatch):
    asked = {}

    def create(name, **kwargs):
        asked.update(kwargs, name=name)
        raise RuntimeError("no network")

    monkeypatch.setattr(open_clip, "create_model", create)
    refusal(
        lambda: load(ClipSpec(model, "openai", device="cpu")), "no network", "local .safetensors"
    )
    assert asked == {"name": model, "pretrained": "openai", "force_quick_gelu": True}


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        (ClipSpec("ViT-B16", "openai"), ["'ViT-B16'", "ViT-B-16"]),
        (ClipSpec("ViT-B-16", "opnai"), ["'opnai'", "openai"]),
        (ClipSpec("ViT-B-16", "embedded"), ["belongs to clip.model icons or icons-large"]),
        (ClipSpec("icons", "openai"), ["'embedded'", "'openai'"]),
        (ClipSpec("ViT-B-16", "random:x"), ["random:SEED"]),
        (ClipSpec("ViT-B-16", "nowhere.safetensors"), ["nowhere.safetensors", "no such file"]),
        (ClipSpec("ViT-B-16", "random:1", precision="fp61"), ["fp32, bf16"]),
        (ClipSpec("ViT-B-16", "random:1", device="gpu"), ["auto, cpu, cuda"]),
        (ClipSpec("coca_ViT-B-32", "laion2b_s13b_b90k"), ["its text tower", "CoCa"]),
        (ClipSpec("xlm-roberta-base-ViT-B-32", "laion5b_s13b_b90k"), ["xlm-roberta-base, a model"]),
    ],
)
def test_specs_that_cannot_be_loaded(spec, words):
    refusal(lambda: load(spec), *words)


def test_a_cuda_device_that_is_not_there():
    if torch.cuda.is_available():
        assert resolve_device("auto").type == "cuda"
    else:
        assert resolve_device("auto").type == "cpu"
        refusal(lambda: resolve_device("cuda"), "'auto'")


def test_identity_of_tags_and_seeds_is_their_name():
    for pretrained in ("openai", "random:3"):
        identity = weights_identity(ClipSpec("ViT-B-16", pretrained))
        assert identity["pretrained"] == pretrained
        assert identity["sha256"] is None


def test_identity_costs_no_deep_learning_import():
    code = (
        "import sys, dpc.clip.spec as s; s.weights_identity(s.ClipSpec('ViT-B-16', 'openai'));"
        "print(sorted({'torch', 'open_clip', 'numpy'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def activation(clip) -> str:
    return type(clip.model.transformer.resblocks[0].mlp.gelu).__name__


def test_a_local_file_of_a_pair_of_architectures_needs_the_activation(tmp_path):
    """OpenAI's weights as .safetensors are known by no hash: their name must say it."""
    path = tmp_path / "openai.safetensors"
    path.touch()
    spec = spec_of(path, "ViT-B-16")
    for call in (check_spec, load, weights_identity):
        refusal(
            lambda call=call: call(spec), "write ViT-B-16-quickgelu", "ViT-B-16-gelu", str(path)
        )
    for model in ("ViT-B-16-quickgelu", "ViT-B-16-gelu", "ViT-B-32-256"):
        check_spec(spec_of(path, model))


@pytest.mark.parametrize("suffix", [".safetensors", ".pt"])
@pytest.mark.parametrize(
    ("model", "built"),
    [("golden-quickgelu", "QuickGELU"), ("golden-gelu", "GELU"), ("golden", None)],
)
def test_a_local_file_is_built_as_its_name_says(tmp_path, monkeypatch, suffix, model, built):
    know_golden(monkeypatch, "golden-quickgelu")
    known = open_clip.get_model_config
    monkeypatch.setattr(
        open_clip,
        "get_model_config",
        lambda name: {**known(name), "quick_gelu": name == "golden-quickgelu"},
    )
    path = tmp_path / f"weights{suffix}"
    (save_file if suffix == ".safetensors" else torch.save)(golden_state(), path)
    if built is None:
        refusal(lambda: load(spec_of(path, model)), "golden-quickgelu", "golden-gelu")
    else:
        assert activation(load(spec_of(path, model))) == built


def test_the_word_gelu_is_for_local_files_alone():
    for pretrained in ("openai", "random:1"):
        spec = ClipSpec("ViT-B-16-gelu", pretrained)
        refusal(lambda spec=spec: check_spec(spec), repr(pretrained), "write clip.model: ViT-B-16")


@pytest.mark.parametrize(
    ("model", "near"),
    [
        ("ViT-B-61", "ViT-B-16"),
        ("ViT-B/16", "ViT-B-16"),
        ("vit-b-16-quickgelu", "ViT-B-16-quickgelu"),
        ("ViT-S-32-gelu", "ViT-S-32"),
        ("icon", "icons"),
        ("hf-hub:somebody/something", "embedded are icons, icons-large"),
    ],
)
def test_an_unknown_model_is_refused_before_anything_is_loaded(model, near):
    refusal(lambda: check_spec(ClipSpec(model, "openai")), repr(model), near)


def test_the_names_are_those_of_open_clip():
    assert specs.architectures() == set(open_clip.list_models())


def test_images_are_prepared_as_a_tag_says(monkeypatch):
    def create(name, **kwargs):
        return loading.build_model(open_clip.get_model_config(name))

    asked = {"mean": (0.1, 0.2, 0.3), "std": (0.4, 0.5, 0.6), "interpolation": "bilinear"}
    monkeypatch.setattr(open_clip, "create_model", create)
    monkeypatch.setattr(open_clip, "get_pretrained_cfg", lambda model, tag: asked)
    clip = load(ClipSpec("ViT-S-32-alt", "tag", device="cpu"))
    assert {name: getattr(clip, name) for name in asked} == asked


def test_a_tag_of_images_with_borders_is_refused_before_the_download(monkeypatch):
    known = open_clip.get_pretrained_cfg
    monkeypatch.setattr(
        open_clip, "get_pretrained_cfg", lambda *pair: known(*pair) | {"resize_mode": "longest"}
    )
    monkeypatch.setattr(open_clip, "create_model", lambda *_, **__: pytest.fail("downloads"))
    refusal(lambda: load(ClipSpec("ViT-B-16", "openai", device="cpu")), "'longest'", "'squash'")


@pytest.mark.parametrize(
    ("model", "mean", "interpolation", "mode"),
    [
        ("ViT-B-16", 0.48145466, "bicubic", "shortest"),
        ("ViT-S-16", 0.48145466, "bicubic", "shortest"),  # no published weights
        ("ViT-L-14", 0.48145466, "bicubic", "shortest"),  # one of many trained otherwise
        ("ViT-H-14-378", 0.48145466, "bicubic", "squash"),
        ("ViT-B-16-SigLIP", 0.5, "bicubic", "squash"),
        ("ViT-L-14-CLIPA", 0.485, "bilinear", "squash"),
        ("MobileCLIP-S1", 0.0, "bilinear", "shortest"),
    ],
)
def test_weights_without_a_tag_are_prepared_as_their_architecture_is(
    model, mean, interpolation, mode
):
    usual = loading.usual_preprocess(model)
    assert usual["mean"][0] == mean
    assert (usual["interpolation"], usual["resize_mode"]) == (interpolation, mode)


def test_local_files_are_prepared_as_openai_does_or_as_their_json_says(tmp_path, monkeypatch):
    know_golden(monkeypatch)
    path = tmp_path / "weights.safetensors"
    save_file(golden_state(), path)
    clip = load(spec_of(path, "golden"))
    assert clip.mean == (0.48145466, 0.4578275, 0.40821073)
    assert clip.std == (0.26862954, 0.26130258, 0.27577711)
    assert clip.interpolation == "bicubic"
    preprocess = {"mean": [0.5] * 3, "std": [0.2] * 3, "resize_mode": "longest"}
    described = {"model_cfg": student_config(), "preprocess_cfg": preprocess}
    path.with_suffix(".json").write_text(json.dumps(described))
    refusal(lambda: load(spec_of(path)), "weights.json", "'longest'", "'shortest'")


@pytest.mark.parametrize(
    ("torch_has", "shown", "advice"),
    [(False, "cuda", "write clip.device: cpu"), (True, "cpu", "write clip.device: cuda")],
)
def test_torch_and_the_driver_must_see_the_same_device(monkeypatch, torch_has, shown, advice):
    """Keys of results go by the driver, so that nothing need be imported to know them."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: torch_has)
    monkeypatch.setattr(loading, "device_kind", lambda name: shown if name == "auto" else name)
    refusal(lambda: resolve_device("auto"), "'auto'", advice)
    assert resolve_device("cpu").type == "cpu"
    if torch_has:
        assert resolve_device("cuda").type == "cuda"


def test_a_local_file_is_its_content_wherever_it_lies(tmp_path, monkeypatch):
    know_golden(monkeypatch)
    one, other = tmp_path / "one.safetensors", tmp_path / "folder" / "other.safetensors"
    other.parent.mkdir()
    for path in (one, other):
        shutil.copy(GOLDEN / "clip_student.safetensors", path)
    expected = {
        "model": "golden",
        "pretrained": "file",
        "sha256": sha256(one),
        "config_sha256": None,
    }
    for path in (one, other):
        assert weights_identity(spec_of(path, "golden")) == expected
    other.write_bytes(b"")
    assert weights_identity(spec_of(other, "golden"))["sha256"] == sha256(other)


def test_a_file_is_hashed_once_however_often_it_is_asked_for(tmp_path, monkeypatch):
    from dpc import hashes

    know_golden(monkeypatch)
    path, read = tmp_path / "weights.safetensors", []
    path.write_bytes(b"anything")
    monkeypatch.setattr(hashes, "sha256", lambda path: (read.append(path), "0" * 64)[1])
    assert len({str(weights_identity(spec_of(path, "golden"))) for _ in range(8)}) == 1
    assert read == [path]
