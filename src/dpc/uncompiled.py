"""torch without its compiler: dpc compiles nothing, and the import takes as long as torch's own."""

import importlib
import sys
from collections.abc import Callable
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

COMPILER = "torch._dynamo"
UTILS = "torch._dynamo.utils"


def postpone_compiler() -> None:
    """Let torch's compiler be imported by what compiles, and by nothing else.

    torchvision imports it for one question, and optimizers to be left out of compiled code. A
    stand-in answers them as if nothing were compiled, and makes way for the real module as soon as
    it is asked for anything else. Without effect where the compiler is there already.
    """
    if COMPILER not in sys.modules:
        sys.modules[COMPILER] = _StandIn(COMPILER)
        sys.modules[UTILS] = _StandIn(UTILS)


class _StandIn(ModuleType):
    def __init__(self, name: str):
        super().__init__(name)
        self.__spec__ = ModuleSpec(name, None, is_package=True)  # who looks whether it is there

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") and (self.__name__, name) != (COMPILER, "__path__"):
            raise AttributeError(name)  # asked by inspect of every module, and by imports
        return _ANSWERS[self.__name__].get(name) or getattr(_real(self.__name__), name)


def _real(name: str) -> ModuleType:
    if isinstance(sys.modules.get(COMPILER), _StandIn):
        del sys.modules[COMPILER], sys.modules[UTILS]
    return importlib.import_module(name)


def _disable(fn: Callable | None = None, *_: Any, **__: Any) -> Callable:
    return fn if fn is not None else lambda decorated: decorated


_ANSWERS: dict[str, dict[str, Callable]] = {
    COMPILER: {"disable": _disable, "graph_break": lambda *_, **__: None},
    UTILS: {"is_compile_supported": lambda device: _real(UTILS).is_compile_supported(device)},
}
