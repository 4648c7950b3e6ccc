"""Sentences around class names."""

PLACEHOLDER = "{}"


def plain_name(classname: str) -> str:
    """A class name as it stands in a sentence: underscores are spaces."""
    return classname.replace("_", " ")


def sentence(template: str, classname: str) -> str:
    """The template with the class name at its ``{}``.

    Raises:
        ValueError: the template has no ``{}`` to put the name in.
    """
    if PLACEHOLDER not in template:
        raise ValueError(f"template {template!r} has no {{}} for the class name")
    return template.replace(PLACEHOLDER, plain_name(classname))


def random_context_sentence(length: int, classname: str) -> str:
    """``X X … X name.``: one X a context token, for contexts that replace no words (CoOp)."""
    return " ".join(["X"] * length + [plain_name(classname)]) + "."
