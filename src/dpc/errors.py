"""Problems that the user can mend: each is one line that names the place, the value and the fix."""


class DpcError(Exception):
    """A user-facing problem; ``str(error)`` is one line and the command ends with exit code 1."""

    exit_code = 1


class ParamsError(DpcError):
    """Parameters that cannot be used; one line a problem, all together, exit code 2."""

    exit_code = 2

    def __init__(self, problems: list[str]):
        super().__init__("\n".join(problems))
        self.problems = problems


class TrainingError(DpcError):
    """A loss that is not finite, with the place where it happened."""
