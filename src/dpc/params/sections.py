"""The sections of params.yaml, typed; every number of an experiment has its one place here."""

from dataclasses import dataclass, field, replace
from typing import Any

from dpc.params.baselines import Baselines
from dpc.params.data import Data, Departure, Imported, Run
from dpc.params.fields import SOURCE_DPC, param
from dpc.params.protocols import HALVED, PROTOCOLS
from dpc.params.sweeps import Sweep, default_sweeps


@dataclass(frozen=True)
class ClipParams:
    """The frozen CLIP."""

    model: str = param(
        "icons", "Model: icons (embedded), or an open_clip name such as ViT-B-16-quickgelu."
    )
    pretrained: str = param(
        "embedded",
        "Weights: embedded, an open_clip tag, a .safetensors file (the model's name then says "
        "which activation: ViT-B-16-quickgelu or ViT-B-16-gelu), or random:SEED (tests).",
    )
    precision: str = param(
        "fp32", "Arithmetic of the towers; prompts and losses stay fp32.", choices=("fp32", "bf16")
    )
    device: str = param(
        "auto",
        "Where to compute; auto is CUDA where there is one.",
        choices=("auto", "cpu", "cuda"),
    )


@dataclass(frozen=True)
class Negatives:
    """Negative Sampler of the Dynamic Hard Negative Optimizer."""

    k: int = param(
        8,
        "K: an image and its K−1 hardest negative classes; cut to the number of base classes.",
        ge=2,
        source=SOURCE_DPC,
    )
    pool: str = param(
        "fewshot",
        "Images that negatives are drawn from; `train` uses labels beyond the shots.",
        choices=("fewshot", "train"),
        source="released: train",
    )
    refill: bool = param(
        False, "Refill classes that the batch already holds from further down the ranking."
    )


@dataclass(frozen=True)
class Dpc:
    """Dual-Prompt Collaboration."""

    weight: float = param(
        0.2, "ω_b: share of the parallel prompt on base classes.", ge=0, le=1, source=SOURCE_DPC
    )
    weight_new: float = param(
        0.0, "ω_n: share of the parallel prompt on new classes.", ge=0, le=1, source=SOURCE_DPC
    )
    inference: str = param(
        "mixed",
        "Prompt on base classes: mixed (the paper), or parallel (P' alone, as released).",
        choices=("mixed", "parallel"),
    )
    parametrization: str = param(
        "parallel",
        "What stage two steps on: P' itself, the stored mix with P fixed, or as released.",
        choices=("parallel", "mixed", "released"),
    )
    objective: str = param(
        "contrastive",
        "Loss of stage two: contrastive on hard negatives, or plain cross_entropy (ablation).",
        choices=("contrastive", "cross_entropy"),
    )
    keep_losses: list[str] | None = param(
        None,
        "Losses of the backbone that stage two keeps beside its own; null: those that the "
        "backbone names (PromptSRC its three regularisers, the others none).",
        unique=True,
    )
    regularize: str = param(
        "filtered",
        "Classes that kept losses see: those of the extended batch, or all (a full text pass).",
        choices=("filtered", "all"),
    )
    couplings: str = param(
        "frozen",
        "Learned tensors that are no prompts (MaPLe's couplings, PromptKD's projector): carried "
        "along from stage one, or trained beside the prompts.",
        choices=("frozen", "trained"),
    )
    average: bool = param(
        False, "Average stage two over its epochs where the backbone does so in stage one."
    )
    lr: float = param(0.002, "Learning rate of stage two (SGD).", gt=0, source="released: ep20")
    epochs: int = param(20, "Epochs of stage two.", ge=1, source="released: ep20")
    batch: int = param(4, "B: images of a batch, before negatives join.", ge=1, source=SOURCE_DPC)
    negatives: Negatives = field(default_factory=Negatives, metadata={"doc": "Negative Sampler."})
    sweep: list[float] = param(
        lambda: [0.0, 0.1, 0.2, 0.3, 0.5, 0.7, 1.0],
        "ω_b values of the curve; validation shots choose among them.",
        ge=0,
        le=1,
        unique=True,
        source=SOURCE_DPC,
    )
    sweep_new: list[float] = param(
        lambda: [0.0, 1e-6, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0],
        "ω_n values of the curve.",
        ge=0,
        le=1,
        unique=True,
        source=SOURCE_DPC,
    )
    by_backbone: dict[str, Any] = param(
        dict, "Keys of this section that differ for a backbone: {NAME: {weight: 1.0}}."
    )


@dataclass(frozen=True)
class TeacherParams:
    """The teacher of backbones that learn from one: a prompt learner on a larger CLIP."""

    backbone: str = param(
        "promptsrc", "Its prompt learner, tuned on the shots of the classes that are tuned on."
    )
    model: str = param("icons-large", "Its CLIP's model, as clip.model.")
    pretrained: str = param("embedded", "Its CLIP's weights, as clip.pretrained.")
    seed: int = param(
        1, "Seed of its few-shot draw and training: one teacher for all seeds.", ge=0, le=2**31 - 1
    )
    settings: dict[str, Any] = param(
        lambda: {"lr": 0.005, "batch": 8},
        "Keys of the prompt learner's block that differ for the teacher.",
        source="PromptKD: PromptSRC on ViT-L/14",
    )


@dataclass(frozen=True)
class Optimizer:
    """SGD, the same for both stages."""

    momentum: float = param(0.9, "SGD momentum.", ge=0, le=0.999, source="all four backbones")
    weight_decay: float = param(
        5e-4, "Weight decay on every learned tensor.", ge=0, source="all four backbones"
    )
    warmup_lr: float = param(
        1e-5, "Learning rate of the first epoch.", gt=0, source="all four backbones"
    )


@dataclass(frozen=True)
class Params:
    """One experiment."""

    protocol: str = param(
        "base-to-new",
        "base-to-new: tune on the first half of the classes, test each half by itself; "
        "generalized: the same, with all classes competing; few-shot: tune and test on all "
        "classes; cross-dataset and domain-generalization: tune on run.datasets, test on "
        "run.targets.",
        choices=PROTOCOLS,
    )
    run: Run = field(default_factory=Run, metadata={"doc": "The grid."})
    data: Data = field(default_factory=Data, metadata={"doc": "Images, shots and views."})
    clip: ClipParams = field(default_factory=ClipParams, metadata={"doc": "The frozen CLIP."})
    optimizer: Optimizer = field(default_factory=Optimizer, metadata={"doc": "SGD."})
    backbones: dict[str, Any] = field(
        default_factory=dict,
        metadata={
            "doc": "Prompt learners, one block each: how they start and how they are tuned. "
            "One of your own has a name of its own and `class: module:Class`."
        },
    )
    teacher: TeacherParams = field(
        default_factory=TeacherParams,
        metadata={"doc": "The teacher of backbones that learn from one (PromptKD)."},
    )
    dpc: Dpc = field(default_factory=Dpc, metadata={"doc": "Dual-Prompt Collaboration."})
    baselines: Baselines = field(
        default_factory=Baselines, metadata={"doc": "Classifiers without prompts."}
    )
    sweeps: dict[str, Sweep] = param(
        default_sweeps, "Sweeps by a name of your own; run.sweeps says which of them run."
    )
    exceptions: dict[str, Departure] = param(
        dict,
        "Keys of a backbone's block that differ for some datasets or shots, by a name of your own; "
        "of two that apply, the later wins: "
        "{short: {backbone: coop, shots: [1], settings: {epochs: 50}}}.",
    )
    imported: dict[str, Imported] = param(
        dict,
        "Prompts tuned elsewhere that take the place of a stage, by backbone (see `dpc import`): "
        "{coop: {tuned: 'imported/coop/{dataset}-shots{shots}-seed{seed}.safetensors'}}.",
    )

    @property
    def halved(self) -> bool:
        """Whether prompts are tuned on the first half of the classes, the base classes."""
        return self.protocol in HALVED

    @property
    def tested(self) -> list[str]:
        """All datasets: those that are tuned on, then those that are only tested on."""
        return [*self.run.datasets, *self.run.targets]

    def source_of(self, dataset: str) -> str:
        """The dataset whose prompts are tested on ``dataset``."""
        return self.run.datasets[0] if dataset in self.run.targets else dataset

    def at(self, dataset: str, shots: int) -> "Params":
        """The parameters of one dataset and number of shots: with the exceptions that apply."""
        blocks = dict(self.backbones)
        for exception in self.exceptions.values():
            applies = not exception.datasets or dataset in exception.datasets
            if applies and (not exception.shots or shots in exception.shots):
                blocks[exception.backbone] = blocks[exception.backbone] | exception.settings
        return replace(self, backbones=blocks)

    def block(self, backbone: str) -> dict[str, Any]:
        """A backbone's block without ``class``, as its class's ``Params`` take it."""
        return {k: v for k, v in self.backbones[backbone].items() if k != "class"}

    def teacher_block(self) -> dict[str, Any]:
        """The teacher's block: its prompt learner's, with ``teacher.settings``."""
        return self.backbones[self.teacher.backbone] | self.teacher.settings

    def stage_two(self, backbone: str) -> Dpc:
        """``dpc`` as it stands for one backbone."""
        own = dict(self.dpc.by_backbone.get(backbone, {}))
        if "negatives" in own:
            own["negatives"] = replace(self.dpc.negatives, **own["negatives"])
        return replace(self.dpc, **own, by_backbone={})
