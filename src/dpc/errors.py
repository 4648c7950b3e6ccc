"""Problems that the user can mend: each is one line that names the place, the value and the fix."""

from copyreg import __newobj__  # type: ignore[attr-defined]
from typing import Any


class DpcError(Exception):
    """A user-facing problem; ``str(error)`` is one line and the command ends with exit code 1.

    It stays what it is on its way out of another process: pickle would call the constructor of a
    subclass with the finished line.
    """

    exit_code = 1

    def __reduce__(self) -> tuple[Any, ...]:
        return __newobj__, (type(self), *self.args), self.__dict__


class ParamsError(DpcError):
    """Parameters that cannot be used; one line a problem, all together, exit code 2."""

    exit_code = 2

    def __init__(self, problems: list[str]):
        super().__init__("\n".join(problems))
        self.problems = problems


class TrainingError(DpcError):
    """A loss that is not finite, with the place where it happened."""
