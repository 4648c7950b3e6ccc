"""The frozen CLIP of an experiment, loaded once a process; torch is set up alike everywhere."""

import os
import sys
from functools import cache

import torch

from dpc.clip.model import Clip
from dpc.clip.spec import ClipSpec
from dpc.datasets.views import InputFormat
from dpc.devices import visible_gpus
from dpc.gpus import claim
from dpc.params.sections import Params
from dpc.stages.slices import clip_spec, teacher_clip_spec


def clip_for(params: Params) -> Clip:
    """The frozen CLIP of an experiment; loaded once a process, torch made deterministic first.

    On CUDA the process takes a GPU before, waits if none is free, and keeps it until it ends.

    Raises:
        DpcError: weights that are missing, truncated or of another shape.
    """
    return _load(clip_spec(params), params.run.threads, params.run.gpu_share)


def teacher_clip_for(params: Params) -> Clip:
    """The frozen CLIP of the teacher, as `clip_for`."""
    return _load(teacher_clip_spec(params), params.run.threads, params.run.gpu_share)


@cache
def _load(spec: ClipSpec, threads: int, gpu_share: int) -> Clip:
    from dpc.clip.load import load, resolve_device

    # cuBLAS repeats itself only with a workspace of fixed size, which it reads when CUDA starts.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.set_num_threads(threads)
    torch.set_deterministic_debug_mode("error")  # imports no compiler to tell it as well
    # It would fill all new memory with NaN as well: a twentieth of a step with image prompts.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    torch.backends.cudnn.allow_tf32 = False  # fp32 is not cut to 10 bits, in convolutions neither
    if resolve_device(spec.device).type == "cuda":
        _take_a_gpu(gpu_share)
    return load(spec)


def _take_a_gpu(share: int) -> None:
    """By its number. CUDA_VISIBLE_DEVICES would count only until somebody in this process asks CUDA
    anything, and it wants another kind of name for a part of a card; the number is right, because
    the driver counted for a child in our environment as it counts for us."""
    title = " ".join(["dpc", *sys.argv[1:]])
    if gpus := visible_gpus():  # a torch for other makes of GPU needs no driver that we could ask
        torch.cuda.set_device(claim(gpus, share, title))


def input_format(clip: Clip) -> InputFormat:
    """How images must look for a CLIP."""
    prepared = clip.interpolation, clip.resize_mode
    return InputFormat(clip.image_size, clip.mean, clip.std, *prepared)  # type: ignore[arg-type]
