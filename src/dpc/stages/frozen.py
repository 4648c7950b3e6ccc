"""The frozen CLIP of an experiment, loaded once a process; torch is set up alike everywhere."""

import os
from functools import cache

import torch

from dpc.clip.model import Clip
from dpc.clip.spec import ClipSpec
from dpc.datasets.views import InputFormat
from dpc.params.sections import Params
from dpc.stages.slices import clip_spec, teacher_clip_spec


def clip_for(params: Params) -> Clip:
    """The frozen CLIP of an experiment; loaded once a process, torch made deterministic first.

    Raises:
        DpcError: weights that are missing, truncated or of another shape.
    """
    return _load(clip_spec(params), params.run.threads)


def teacher_clip_for(params: Params) -> Clip:
    """The frozen CLIP of the teacher, as :func:`clip_for`."""
    return _load(teacher_clip_spec(params), params.run.threads)


@cache
def _load(spec: ClipSpec, threads: int) -> Clip:
    from dpc.clip.load import load

    # cuBLAS repeats itself only with a workspace of fixed size, which it reads when CUDA starts.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.set_num_threads(threads)
    torch.set_deterministic_debug_mode("error")  # without the compiler's settings, and its import
    return load(spec)


def input_format(clip: Clip) -> InputFormat:
    """How images must look for a CLIP."""
    prepared = clip.interpolation, clip.resize_mode
    return InputFormat(clip.image_size, clip.mean, clip.std, *prepared)  # type: ignore[arg-type]
