"""Small pictures of images and classes: each held once by its section, shown wherever it helps."""

from markupsafe import Markup

from dpc.report.context import ReportContext
from dpc.report.svg import slug

SIDE = 40  # CSS pixels
MOST = 80  # pictures of a data set in a section: about a kilobyte each


class Album:
    """Pictures of one section.

    Args:
        context: gives the pictures; without any, names stand alone.
        name: begins the ids of this section's pictures.
    """

    def __init__(self, context: ReportContext, name: str):
        self._context, self._name = context, name
        self._held: dict[tuple[str, str | int], tuple[str, str]] = {}  # id and data URI

    def show(self, dataset: str, image: str | int, name: str) -> Markup:
        """A picture of a training image, or of a class by its label, with the name of the class,
        which the picture leaves out: it would be read twice.

        Where an image cannot be read, words stand in its place; where a data set has ``MOST``
        pictures already, the name stands alone.
        """
        key = (dataset, image)
        full = key not in self._held and sum(own == dataset for own, _ in self._held) >= MOST
        if self._context.thumbnail is None or full:
            return Markup("{}").format(name)
        if key not in self._held:
            place = slug(self._name, "picture", str(len(self._held)))
            self._held[key] = place, self._context.thumbnail(dataset, image)
        place, data = self._held[key]
        if not data:
            return Markup('<span class="quiet">no picture</span> {}').format(name)
        return Markup(
            '<svg width="{0}" height="{0}" role="img" aria-label="{1}"><use href="#{2}"/></svg> {3}'
        ).format(SIDE, "Training image" if isinstance(image, str) else "Test image", place, name)

    def sheet(self) -> Markup:
        """All pictures shown so far, invisible where it stands."""
        images = Markup("").join(
            Markup('<image id="{0}" width="{1}" height="{1}" href="{2}"/>').format(
                place, SIDE, data
            )
            for place, data in self._held.values()
            if data
        )
        if not images:
            return Markup("")
        return Markup('<svg width="0" height="0" aria-hidden="true"><defs>{}</defs></svg>').format(
            images
        )
