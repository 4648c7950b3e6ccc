"""open_clip's models with every backbone: what docs/models.md says is what happens.

The models are built under their own names and widths, but for fewer layers, and for a small
vocabulary where words are folded into it.
"""

import dataclasses
from pathlib import Path

import open_clip
import pytest
import timm
import torch

import dpc.clip.load as loading
from dpc.backbones import BACKBONES, resolve
from dpc.backbones.base import Teacher, make_task
from dpc.clip.anatomy import anatomy, described
from dpc.clip.load import load
from dpc.clip.model import Clip
from dpc.clip.spec import ClipSpec
from dpc.clip.views import Views
from dpc.errors import DpcError
from dpc.params.models import TRIED, answer, page

PAGE = Path(__file__).parents[1] / "docs" / "models.md"
NAMES = ["cat", "red fox", "2012 Audi TT RS"]
WHOLE = "ViT-B-32"  # the one whose layers stay
LAYERS, VOCABULARY, DEPTH, TEACHER_WIDTH = 2, 1000, 2, 24
CUSTOM = "ViT-B-32 in its other class"


def test_the_page_is_what_the_anatomy_says():
    fix = "run: python -m dpc.params.models > docs/models.md"
    assert PAGE.read_text(encoding="utf-8") == page(), fix


def test_the_page_lists_the_tags_whose_local_files_are_prepared_otherwise():
    rows = PAGE.read_text(encoding="utf-8").partition("## Local files that ask for another way")[2]
    otherwise = []
    for name, tag in open_clip.list_pretrained():
        local = loading._configs(ClipSpec(name, "weights.safetensors"))[1]
        asked = open_clip.get_pretrained_cfg(name, tag)
        keys = ("mean", "std", "interpolation", "resize_mode")
        if any(asked[key] != local[key] for key in keys):
            otherwise.append(f"| {name} | {tag} |")
    assert "| ViT-L-14 | laion2b_s32b_b82k |" in otherwise
    assert sorted(line for line in otherwise if line in rows) == sorted(otherwise)
    assert len(rows.strip().splitlines()) == 4 + len(otherwise)


def cut(name: str) -> dict:
    """The configuration of a model with less of everything that costs time and teaches nothing."""
    config = known("ViT-B-32" if name == CUSTOM else name)
    text, vision = config["text_cfg"], config["vision_cfg"]
    if name == CUSTOM:
        config["custom_text"] = True
    if name != WHOLE:
        text["layers"] = LAYERS
    if text.get("hf_tokenizer_name"):
        text["vocab_size"] = VOCABULARY
    if name != WHOLE and isinstance(vision.get("layers"), int):
        vision["layers"] = LAYERS
    return config


known = open_clip.get_model_config


@pytest.fixture()
def small(monkeypatch):
    """Models of open_clip and timm with few layers."""
    create = timm.create_model

    def trunk(name, **kwargs):
        depth = {"depths": (1, 1, 1, 1)} if name.startswith("convnext") else {"depth": LAYERS}
        return create(name, **kwargs, **depth)

    monkeypatch.setattr(open_clip, "get_model_config", cut)
    monkeypatch.setattr(timm, "create_model", trunk)


def built(name: str) -> Clip:
    if name != CUSTOM:
        return load(ClipSpec(name, "random:1", device="cpu"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("dpc.clip.load.architecture", lambda _: CUSTOM)
        return load(ClipSpec("ViT-B-32", "random:1", device="cpu"))


def started(kind, clip: Clip, teacher: Teacher):
    chosen = {f.name: DEPTH for f in dataclasses.fields(kind.Params) if f.metadata.get("layers")}
    if "templates" in {f.name for f in dataclasses.fields(kind.Params)}:
        chosen["templates"] = "icons"  # the shorter list
    generator = torch.Generator().manual_seed(2)
    if kind.needs_teacher:
        return kind.from_teacher(clip, teacher, kind.Params(**chosen), generator)
    return kind.from_clip(clip, kind.Params(**chosen), generator)


def step(kind, clip: Clip, images, frozen) -> None:
    """Features of both sides, and a loss whose gradient reaches every learned tensor."""
    rows = torch.randn(len(NAMES) + 2, TEACHER_WIDTH, generator=torch.Generator().manual_seed(3))
    teacher = Teacher(rows[:3], torch.tensor(30.0))
    backbone = started(kind, clip, teacher)
    taught = kind.needs_teacher
    task = make_task(clip, backbone, NAMES, "a photo of a {}.", teacher if taught else None)
    width = TEACHER_WIDTH if taught else clip.embed_dim
    views = Views(frozen, images, rows[3:] if taught else None)
    given = backbone.prompts()
    own = {tower for tower in ("text", "image") if len(getattr(given, tower))}
    assert own == set(kind.prompted)
    with torch.no_grad():
        assert backbone.text_features(task).shape == (3, width)
    loss = sum(backbone.losses(task, views, torch.tensor([2, 0])).values())
    assert loss.isfinite()
    if learned := dict(backbone.named_parameters()):
        loss.backward()
    for name, value in learned.items():
        assert value.grad.isfinite().all() and value.grad.abs().sum() > 0, name


def same(ours, theirs) -> None:
    torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5 * float(theirs.abs().max()))


def check_plain(clip: Clip, images) -> torch.Tensor:
    """Both towers give what open_clip's do, also walked with no prompt tokens at all."""
    tokens = clip.tokenize([f"a photo of a {name}." for name in NAMES])
    slow = Clip(clip.model, clip.tokenizer, clip.mean, clip.std, shortcuts=False)
    with torch.no_grad():
        expected, frozen = clip.model.encode_text(tokens), clip.model.encode_image(images)
        for one in (clip, slow):
            same(one.encode_text(tokens), expected)
            same(one.encode_text(tokens, [torch.zeros(0, one.text_width)]), expected)
        same(clip.encode_image(images), frozen)
    return frozen


def check_anatomy(name: str, clip: Clip) -> None:
    """What is read from the configuration is how the model is built."""
    found = described(cut(name))
    if name != CUSTOM:
        whole = anatomy(ClipSpec(name, "random:1"))
        assert (whole.image.refusal, whole.context) == (found.image.refusal, found.context)
        assert whole.tokenizer == found.tokenizer
    assert (clip.text_layers, clip.context_length) == (found.text.layers, found.context)
    if found.image.refusal:
        with pytest.raises(DpcError, match="image prompts need"):
            clip.image_layers  # noqa: B018
    else:
        assert clip.image_layers == found.image.layers


@pytest.mark.slow
@pytest.mark.parametrize("name", [*TRIED, CUSTOM])
def test_a_model_with_every_backbone(name, small):
    found = described(cut(name))
    if found.text.refusal:
        with pytest.raises(DpcError, match="no prompts go into its text tower"):
            built(name)
        assert {answer(found, backbone)[:2] for backbone in BACKBONES} == {"no"}
        return
    clip = built(name)
    check_anatomy(name, clip)
    size = clip.image_size
    images = torch.randn(2, 3, size, size, generator=torch.Generator().manual_seed(1))
    frozen = check_plain(clip, images)
    with torch.no_grad():  # walked with no prompt tokens, where it can be walked
        none = [] if found.image.refusal else [torch.zeros(0, clip.image_width)]
        same(clip.encode_image(images, none), frozen)
    for backbone in BACKBONES:
        kind = resolve(backbone)
        if answer(found, backbone) == "yes":
            step(kind, clip, images, frozen)
        else:
            with pytest.raises(DpcError, match="image prompts need"):
                step(kind, clip, images, frozen)
