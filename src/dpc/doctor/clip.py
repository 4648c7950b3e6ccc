"""Which CLIP the grid reads, and whether its weights are at hand; nothing is downloaded."""

import contextlib
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from dpc.clip.spec import (
    EMBEDDED_MODELS,
    EMBEDDED_WEIGHTS,
    ClipSpec,
    architecture,
    check_spec,
    random_seed,
    weights_file,
)
from dpc.doctor.findings import ClipReport, Problem
from dpc.errors import DpcError

if TYPE_CHECKING:
    from dpc.clip.model import Clip

OPEN_CLIP_CACHE = Path("~/.cache/clip")  # where open_clip keeps what it fetched from a plain URL


def examine(spec: ClipSpec, role: str) -> ClipReport:
    """What can be said of a CLIP without loading it.

    Args:
        role: "clip" or "teacher": its section of the params file.
    """
    report = ClipReport(role, spec.model, spec.pretrained)
    try:
        check_spec(spec)
        if random_seed(spec) is not None:
            return replace(report, weights="random")
        path = weights_file(spec)
        if path is not None:
            kind = EMBEDDED_WEIGHTS if spec.pretrained == EMBEDDED_WEIGHTS else "file"
            return replace(report, weights=kind, place=str(path), bytes=path.stat().st_size)
        return _of_tag(spec, report)
    except DpcError as problem:
        return replace(report, problems=(Problem(role, str(problem)),))


def shape(spec: ClipSpec, device: str) -> "Clip":
    """A CLIP with the shapes of ``spec`` on ``device``; weights are random unless they are
    embedded, since shapes alone decide time and memory.

    Raises:
        DpcError: an architecture that prompts cannot go into.
    """
    from dpc.clip.load import load

    if spec.model not in EMBEDDED_MODELS:
        spec = replace(spec, model=architecture(spec.model), pretrained="random:0")
    return load(replace(spec, device=device))


def _of_tag(spec: ClipSpec, report: ClipReport) -> ClipReport:
    """Weights that open_clip knows by a tag: in one of its caches, or still to be fetched."""
    import open_clip

    from dpc.clip.load import check_pair

    check_pair(spec.model, spec.pretrained)
    about = open_clip.get_pretrained_cfg(spec.model, spec.pretrained)
    hub, url = about.get("hf_hub", ""), about.get("url", "")
    path = _in_hub_cache(hub) if hub else _in_own_cache(url)
    if path is None:
        source = f"huggingface.co/{hub.rstrip('/')}" if hub else url
        return replace(report, weights="download", place=source)
    return replace(report, weights="cache", place=str(path), bytes=path.stat().st_size)


def _in_hub_cache(hub: str) -> Path | None:
    """The file of ``owner/name/file`` in the cache of the Hugging Face client; a .safetensors
    beside it is taken first, as open_clip does."""
    from huggingface_hub import try_to_load_from_cache
    from open_clip.constants import HF_SAFE_WEIGHTS_NAME, HF_WEIGHTS_NAME

    repository, _, file = hub.rpartition("/")
    names = [HF_SAFE_WEIGHTS_NAME, HF_WEIGHTS_NAME]  # of a repository, where no file is named
    if file:
        names = [f"{Path(file).stem}.safetensors", file]
    for name in names:
        found = try_to_load_from_cache(repository, name)
        if isinstance(found, str):
            return Path(found)
    return None


def _in_own_cache(url: str) -> Path | None:
    path = OPEN_CLIP_CACHE.expanduser() / url.rpartition("/")[2]
    with contextlib.suppress(OSError):
        return path if path.stat().st_size else None
    return None
