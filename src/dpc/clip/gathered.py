"""One forward pass for several callers, each of which believes that it asks CLIP alone.

Trainings that share nothing but a frozen CLIP take their steps side by side. Each runs in a thread
of its own and is handed a CLIP whose encoders wait until all others ask as well; then the sentences
or images of all are encoded together, and each gets its own rows. Nothing of a training knows that
it is not alone, and the order of the work does not depend on which thread is quicker.
"""

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import product
from typing import NamedTuple, TypeVar

import torch
from torch import Tensor

from dpc.clip.model import Clip

T = TypeVar("T")


class Question(NamedTuple):
    """What one caller asks to be encoded, by which encoder of several, with gradients or not."""

    kind: tuple[Callable[..., list[Tensor]], bool]
    asked: tuple[Tensor, Sequence[Tensor]]  # ids or pixels, and prompts


def gathered(clips: Sequence[Clip], calls: Sequence[Callable[[Clip], T]]) -> list[T]:
    """The results of ``calls``, each made with its own of ``clips``, which are one and the same.

    Raises:
        ValueError: the CLIPs differ.
        Whatever the first of the calls raises that fails; the others are given up.
    """
    if any(clip is not clips[0] for clip in clips):
        raise ValueError("callers that are answered together share one CLIP")
    desk = _Desk(clips[0], len(calls))

    gradients = torch.is_grad_enabled()  # which each thread says for itself

    def visit(place: int) -> T:
        served = False
        try:
            with torch.set_grad_enabled(gradients):
                result = calls[place](_Guest(clips[place], desk, place))
            served = True
            return result
        finally:
            desk.leave(served)

    with ThreadPoolExecutor(len(calls)) as pool:
        visits = [pool.submit(visit, place) for place in range(len(calls))]
    problems = [problem for one in visits if (problem := one.exception()) is not None]
    for problem in sorted(problems, key=lambda one: isinstance(one, _GivenUpError)):
        raise problem
    return [one.result() for one in visits]


class _GivenUpError(RuntimeError):
    """Another caller failed."""


class _Desk:
    """Collects one question of every caller that is still there, then answers them all."""

    def __init__(self, clip: Clip, callers: int):
        self._clip, self._present = clip, callers
        self._changed = threading.Condition()
        self._asked: dict[int, Question] = {}
        self._answers: dict[int, Tensor] = {}
        self._failed = False

    def ask(self, place: int, question: Question) -> Tensor:
        with self._changed:
            self._asked[place] = question
            if not self._failed:
                self._answer_if_complete()
            self._changed.wait_for(lambda: place in self._answers or self._failed)
            if place not in self._answers:
                raise _GivenUpError
            return self._answers.pop(place)

    def leave(self, served: bool) -> None:
        """One caller fewer: the others wait no longer for it, or are given up with it."""
        with self._changed:
            self._present -= 1
            if not served:
                self._failed = True
                self._changed.notify_all()
            elif not self._failed:
                self._answer_if_complete()

    def _answer_if_complete(self) -> None:
        if len(self._asked) < self._present or not self._asked:
            return
        asked, self._asked = self._asked, {}
        self._failed = True  # until all is encoded
        try:
            for encode, gradients in product(
                (Clip.encode_texts, Clip.encode_images), (True, False)
            ):
                kind = encode, gradients
                chosen = {p: one for p, one in sorted(asked.items()) if one.kind == kind}
                if chosen:
                    with torch.set_grad_enabled(gradients):
                        found = encode(self._clip, [one.asked for one in chosen.values()])
                    self._answers |= dict(zip(chosen, found, strict=True))
            self._failed = False
        finally:
            self._changed.notify_all()


def _question(
    encode: Callable[..., list[Tensor]], rows: Tensor, prompts: Sequence[Tensor]
) -> Question:
    return Question((encode, torch.is_grad_enabled()), (rows, prompts))


class _Guest(Clip):
    """The CLIP that a caller is handed: all as it is, but encoders that wait for the others."""

    def __init__(self, clip: Clip, desk: _Desk, place: int):
        self.__dict__.update(vars(clip))
        self._desk, self._place = desk, place

    def encode_text(self, tokens: Tensor, prompts: Sequence[Tensor] = ()) -> Tensor:
        return self._desk.ask(self._place, _question(Clip.encode_texts, tokens, prompts))

    def encode_image(self, images: Tensor, prompts: Sequence[Tensor] = ()) -> Tensor:
        return self._desk.ask(self._place, _question(Clip.encode_images, images, prompts))
