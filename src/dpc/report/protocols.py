"""What a protocol measures: its accuracies, the differences that are tested, and its words."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from dpc.params.protocols import BASE_TO_NEW, FEW_SHOT, GENERALIZED, TRANSFERS
from dpc.report.scores import VALIDATED

EVERY, SOURCE, TARGETS = "every", "source", "targets"  # the data sets that a measure is over


@dataclass(frozen=True)
class Measure:
    """An accuracy that is averaged and compared: a metric of the rows, over some data sets."""

    key: str  # its name in files
    metric: str  # of a score: base, new, h, overall or accuracy
    label: str  # in a title: ``CoOp + DPC minus CoOp, base``
    noun: str  # in a sentence: ``base accuracy``
    start: str  # of its sentence in the headline: ``New classes: …``
    over: str = EVERY  # EVERY, SOURCE or TARGETS

    @property
    def heading(self) -> str:
        """Of a column."""
        return capital(self.label)

    @property
    def where(self) -> str:
        """``base classes``, for a sentence."""
        return self.start[:1].lower() + self.start[1:]


@dataclass(frozen=True)
class Question:
    """A difference that the page tests: ``first`` minus ``second`` on a measure.

    Methods are ``zero``, ``plain``, ``budget``, ``dpc`` and ``chosen`` (DPC with ω_b chosen on
    validation shots). The text may name the backbone, and its longer training, in braces.
    """

    first: str
    second: str
    measure: Measure
    text: str


@dataclass(frozen=True)
class Protocol:
    """What differs from protocol to protocol; everything else of the report is the same."""

    name: str
    title: str  # of the page
    heading: str  # of the main table
    metrics: tuple[str, ...]  # of a row, in table order; h follows from base and new
    measures: tuple[Measure, ...]  # of the averages
    lead: Measure  # what DPC is to raise
    rank: Measure  # what the summary compares methods by
    omega_b: Measure  # what the curve of ω_b shows
    omega_n: Measure | None
    fixed: Measure | None  # what a ω_n of 0 leaves as the backbone has it, by construction
    questions: tuple[Question, ...]
    rules: tuple[str, ...]  # what is tested, for the notes below the table
    shots: str  # what training images a run has
    independent: tuple[str, ...] = ()  # metrics that ω_b has no part in
    curves: Mapping[str, str] = field(default_factory=dict)  # note on omega_b and omega_n

    @property
    def given(self) -> tuple[str, ...]:
        """Metrics that a row holds."""
        return tuple(metric for metric in self.metrics if metric != "h")

    @property
    def others(self) -> tuple[Measure, ...]:
        """Measures of DPC's gain besides the leading one; H only where it leads."""
        return tuple(each for each in self.measures if each not in (self.lead, H))

    @property
    def transfers(self) -> bool:
        """Whether data sets are tested that nothing was tuned on."""
        return any(measure.over == TARGETS for measure in self.measures)

    def weighed(self, curve: str) -> Measure | None:
        """What the curve ``omega_b`` or ``omega_n`` shows."""
        return self.omega_b if curve == "omega_b" else self.omega_n


BASE = Measure("base", "base", "base", "base accuracy", "Base classes")
NEW = Measure("new", "new", "new", "new accuracy", "New classes")
H = Measure("h", "h", "H", "H", "The H of base and new classes")
OVERALL = Measure("overall", "overall", "overall", "overall accuracy", "All images")
ACCURACY = Measure("accuracy", "accuracy", "accuracy", "accuracy", "All classes")
ON_SOURCE = Measure("source", "accuracy", "source", "accuracy", "The source", SOURCE)
ON_TARGETS = Measure("targets", "accuracy", "targets", "target accuracy", "Targets", TARGETS)

_HELPS = "Does the second prompt help beyond {name} alone?"
_CHOSEN = f"And with {VALIDATED}?"
_LONGER = "Is it more than {longer}?"


def _raised(measure: Measure) -> tuple[Question, ...]:
    """Whether DPC raises a measure, at either weight."""
    return (
        Question("dpc", "plain", measure, _HELPS),
        Question("chosen", "plain", measure, _CHOSEN),
    )


def _than_budget(measure: Measure) -> tuple[Question, ...]:
    """Whether DPC does more than longer training, at either weight."""
    return (
        Question("dpc", "budget", measure, _LONGER),
        Question("chosen", "budget", measure, _CHOSEN),
    )


base_to_new = Protocol(
    name=BASE_TO_NEW,
    title="Dual-Prompt Collaboration: base-to-new results",
    heading="Accuracy on base and new classes",
    metrics=("base", "new", "h"),
    measures=(BASE, NEW, H),
    lead=BASE,
    rank=H,
    omega_b=BASE,
    omega_n=NEW,
    fixed=NEW,
    questions=(
        Question("plain", "zero", BASE, "Does tuning help the classes it was tuned on?"),
        Question(
            "plain", "zero", NEW, "What does that tuning do to the classes it had no labels of?"
        ),
        *_raised(BASE),
        Question("dpc", "plain", NEW, "Do new classes stay as they were?"),
        *_than_budget(BASE),
        Question("dpc", "budget", NEW, "And on new classes, against that longer training?"),
    ),
    rules=(),
    shots="the shots of the base classes that a run of one seed trains on; the split holds those "
    "that they are drawn from, and the new classes' own",
    independent=("new",),
)

generalized = Protocol(
    name=GENERALIZED,
    title="Dual-Prompt Collaboration: generalized base-to-new results",
    heading="Accuracy where base and new classes compete",
    metrics=("base", "new", "h", "overall"),
    measures=(BASE, NEW, H, OVERALL),
    lead=H,
    rank=H,
    omega_b=BASE,
    omega_n=NEW,
    fixed=None,  # the base names' logits compete with the new ones', whatever ω_n is
    questions=(
        Question("plain", "zero", H, "Does tuning help where base and new names compete?"),
        Question("plain", "zero", BASE, "On the classes it was tuned on?"),
        Question("plain", "zero", NEW, "On the classes it had no labels of?"),
        *_raised(H),
        Question("dpc", "plain", BASE, "Where: on images of base classes?"),
        Question("dpc", "plain", NEW, "On images of new classes?"),
        Question("dpc", "plain", OVERALL, "And over all images?"),
        *_than_budget(H),
    ),
    rules=(
        "One label space: each test image is classified among base and new names together, and no "
        "label says which half it is from. With DPC the mix P̃_b, at ω_b, gives the logits of base "
        "names and the mix P̃_n, at ω_n, those of new names, each with its own image prompts; the "
        "largest logit wins. Without DPC one prompt gives them all.",
        "Base-to-new, where each half has a label space of its own, is the easier task; its "
        "numbers are not of this run, so what the shared label space costs is not stated here.",
        "Overall: percent of all test images, base and new together.",
    ),
    shots=base_to_new.shots,
    curves={
        "omega_b": "Images of base classes alone, new names competing, ω_n as in use. Validation "
        "shots are of base classes too, so ω_b is chosen by this accuracy: what a larger ω_b costs "
        "on images of new classes is not in this curve, but in H of the rows that chose it.",
        "omega_n": "Images of new classes alone, base names competing, ω_b as in use.",
    },
)

few_shot = Protocol(
    name=FEW_SHOT,
    title="Dual-Prompt Collaboration: few-shot results",
    heading="Accuracy by shots",
    metrics=("accuracy",),
    measures=(ACCURACY,),
    lead=ACCURACY,
    rank=ACCURACY,
    omega_b=ACCURACY,
    omega_n=None,
    fixed=None,
    questions=(
        Question("plain", "zero", ACCURACY, "Does tuning help?"),
        *_raised(ACCURACY),
        *_than_budget(ACCURACY),
    ),
    rules=(
        "Tuned and tested on all classes; with DPC the mix at ω_b reads them. Shots are training "
        "images a class; zero-shot CLIP has none and stands at 0 shots.",
    ),
    shots="those of the most shots and one seed; the split holds those that they are drawn from",
)


def _transfer(name: str, title: str, heading: str) -> Protocol:
    return Protocol(
        name=name,
        title=f"Dual-Prompt Collaboration: {title} results",
        heading=heading,
        metrics=("accuracy",),
        measures=(ON_SOURCE, ON_TARGETS),
        lead=ON_SOURCE,
        rank=ON_TARGETS,
        omega_b=ON_SOURCE,
        omega_n=ON_TARGETS,
        fixed=ON_TARGETS,
        questions=(
            Question("plain", "zero", ON_SOURCE, "Does tuning help the data set it was tuned on?"),
            Question("plain", "zero", ON_TARGETS, "Does it carry over to those it never saw?"),
            *_raised(ON_SOURCE),
            Question("dpc", "plain", ON_TARGETS, "Do the targets stay as they were?"),
            *_than_budget(ON_SOURCE),
            Question("dpc", "budget", ON_TARGETS, "And on targets, against that longer training?"),
        ),
        rules=(
            "Tuned on all classes of the source alone, tested on all classes of every data set. "
            "With DPC the mix at ω_b reads the source, the mix at ω_n the targets.",
            "The average is over the targets; the source is not in it.",
        ),
        shots="the source's shots that a run of one seed trains on; nothing is trained on a target",
    )


PROTOCOLS: Mapping[str, Protocol] = {
    each.name: each
    for each in (
        base_to_new,
        generalized,
        few_shot,
        _transfer(TRANSFERS[0], "cross-dataset", "Accuracy on the source and across data sets"),
        _transfer(TRANSFERS[1], "domain generalization", "Accuracy on the source and its variants"),
    )
}


def capital(text: str) -> str:
    """With a capital first letter; the rest as it is."""
    return text[:1].upper() + text[1:]
