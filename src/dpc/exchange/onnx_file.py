"""`classifier.onnx`: the image tower with its prompts, and the classes, in one file."""

import copy
import io
import logging
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout
from importlib.util import find_spec
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from dpc.backbones.base import Backbone
from dpc.clip.model import Clip, logits
from dpc.clip.views import Views
from dpc.errors import DpcError

PACKAGES = ("onnx", "onnxscript", "onnxruntime")
OPSET = 20
LARGEST = 2 * 10**9  # bytes: a protobuf message ends at 2 GiB
TOLERANCE = 1e-3  # of the largest logit


class Classifier(nn.Module):
    """Pixels to logits, as a row of the table is tested.

    Args:
        clip: the frozen CLIP, on the CPU in fp32.
        parts: a mix of P and P', and the features (C_i, d) of the classes that are read with it.
    """

    def __init__(self, clip: Clip, parts: Sequence[tuple[Backbone, Tensor]]):
        super().__init__()
        self.clip = clip
        self.visual = clip.model.visual  # a module's weights become the file's
        self.backbones: Any = nn.ModuleList(
            [copy.deepcopy(backbone).cpu() for backbone, _ in parts]
        )
        self.classes = nn.ParameterList([nn.Parameter(texts.cpu()) for _, texts in parts])
        self.scale = nn.Parameter(clip.logit_scale)
        self.prompted = [backbone.needs_images for backbone, _ in parts]
        self.eval().requires_grad_(False)

    def forward(self, images: Tensor) -> Tensor:
        """Logits (B, C_1 + C_2 + …) of ``images`` (B, 3, S, S).

        The frozen tower runs once for all parts, a prompted one once for each.
        """
        frozen = None
        if not all(self.prompted):
            frozen = self.clip.encode_image(images)
        found = []
        for index, backbone in enumerate(self.backbones):
            views = Views(images=images) if self.prompted[index] else Views(frozen=frozen)
            features = backbone.image_features(self.clip, views)
            found.append(logits(self.scale, features, self.classes[index]))
        return torch.cat(found, dim=1)


def require_packages() -> None:
    """Refuse early what could not be written at the end.

    Raises:
        DpcError: a package that is not installed.
    """
    missing = [name for name in PACKAGES if find_spec(name) is None]
    if missing:
        raise DpcError(
            f"classifier.onnx needs {', '.join(missing)}: pip install {' '.join(missing)}, "
            "or leave onnx out of --format"
        )


def encode(classifier: Classifier, properties: Mapping[str, str]) -> bytes:
    """The bytes of the file: input ``images`` (batch, 3, S, S), output ``logits`` (batch, C).

    Names of the source files and their lines, which the exporter writes into every node, are
    left out: equal classifiers give equal bytes.

    Args:
        classifier: fp32, on the CPU.
        properties: the file's metadata.

    Raises:
        DpcError: larger than one file may be, a tower that cannot be traced, or logits in
            onnxruntime that are not ours.
    """
    require_packages()
    size = sum(value.nbytes for value in _tensors(classifier))
    if size > LARGEST:
        raise DpcError(
            f"classifier.onnx would take {size / 1e9:.1f} GB and one onnx file holds 2 GB: leave "
            "onnx out of --format"
        )
    model = _traced(classifier)
    _make_plain(model, properties)
    content = model.SerializeToString(deterministic=True)
    _check(content, classifier)
    return content


def _tensors(classifier: Classifier) -> Iterator[Tensor]:
    """What the file holds: of CLIP the image tower alone."""
    yield from classifier.parameters()
    yield from classifier.buffers()


def _traced(classifier: Classifier) -> Any:
    """The graph as an onnx ``ModelProto``."""
    from torch._dynamo.exc import TorchDynamoException
    from torch.export import Dim
    from torch.onnx import OnnxExporterError

    size = classifier.clip.image_size
    example = torch.zeros(2, 3, size, size)
    try:
        with _silence(), torch.no_grad():
            # Not strict: Python runs as it is, whatever a backbone of one's own does in it.
            program = torch.export.export(
                classifier, (example,), dynamic_shapes=({0: Dim("batch")},), strict=False
            )
            made: Any = torch.onnx.export(
                program,
                dynamo=True,
                input_names=["images"],
                output_names=["logits"],
                opset_version=OPSET,
                external_data=False,
                verbose=False,
            )
    except (TorchDynamoException, OnnxExporterError) as problem:
        lines = str(problem).strip().splitlines() or [type(problem).__name__]
        raise DpcError(
            f"this CLIP's image tower cannot be written as onnx ({lines[0]}): leave onnx out of "
            "--format"
        ) from problem
    return made.model_proto


def _make_plain(model: Any, properties: Mapping[str, str]) -> None:
    """Take out where code lay, name the free dimension, put in the metadata."""
    graph = model.graph
    del graph.value_info[:]
    for holder in (model, graph, *graph.node, *graph.initializer, *graph.input, *graph.output):
        holder.doc_string = ""
        del holder.metadata_props[:]
    for value in (*graph.input, *graph.output):
        value.type.tensor_type.shape.dim[0].dim_param = "batch"
    for key in sorted(properties):
        model.metadata_props.add(key=key, value=properties[key])


def _check(content: bytes, classifier: Classifier) -> None:
    """Noise through onnxruntime and through ours."""
    import onnxruntime

    size = classifier.clip.image_size
    noise = torch.randn(3, 3, size, size, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        ours = classifier(noise).numpy()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    session = onnxruntime.InferenceSession(content, options, ["CPUExecutionProvider"])
    theirs = session.run(["logits"], {"images": noise.numpy()})[0]
    off = np.abs(ours - theirs).max() / np.abs(ours).max()
    if not off < TOLERANCE:
        raise DpcError(
            f"onnxruntime's logits are {off:.1g} off ours for this CLIP: leave onnx out of --format"
        )


@contextmanager
def _silence() -> Iterator[None]:
    """The exporter reports its steps in prints, warnings and log lines."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
