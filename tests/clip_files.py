"""What the tests of CLIP's weights share: refusals, and the golden CLIP as an architecture."""

from pathlib import Path

import open_clip
import pytest
from golden_data import GOLDEN, student_config
from torch import Tensor

from dpc.clip import spec as specs
from dpc.clip import weights_io
from dpc.clip.load import build_model
from dpc.clip.spec import ClipSpec
from dpc.errors import DpcError


def refusal(call, *words) -> str:
    """The one line that ``call`` is refused with; it holds all ``words``."""
    with pytest.raises(DpcError) as caught:
        call()
    message = str(caught.value)
    assert "\n" not in message
    for word in words:
        assert word in message, message
    return message


def spec_of(path: Path, model: str = "icons") -> ClipSpec:
    return ClipSpec(model, str(path), device="cpu")


def golden_state() -> dict[str, Tensor]:
    """All tensors of the golden CLIP under open_clip's names."""
    model = build_model(student_config())
    state = weights_io.read_weights(GOLDEN / "clip_student.safetensors")
    weights_io.fill(model, state, GOLDEN)
    return model.state_dict()


def know_golden(monkeypatch: pytest.MonkeyPatch, *more: str) -> None:
    """Let open_clip have the golden CLIP as the architecture "golden", and as ``more`` names."""
    known, mine = open_clip.get_model_config, {"golden", *more}
    names = specs.architectures() | mine
    monkeypatch.setattr(
        open_clip, "get_model_config", lambda n: student_config() if n in mine else known(n)
    )
    monkeypatch.setattr(specs, "architectures", lambda: names)
