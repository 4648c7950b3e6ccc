"""One dataset: where it lies, whether it is the published one, and whether all of it is there."""

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from dpc.datasets import EMBEDDED, on_disk, places, split_file
from dpc.datasets.base import SPLITS, Listing
from dpc.datasets.catalog import CATALOG, GUIDE, Published
from dpc.datasets.places import Place
from dpc.doctor import copies, images, sizes
from dpc.doctor.findings import Counts, DatasetReport, Files, Problem
from dpc.doctor.sizes import Size
from dpc.errors import DpcError
from dpc.params.sections import Params
from dpc.progress import LOG

COUNTED = {"classes": "classes", "train": "training", "val": "validation", "test": "test images"}


def examine(
    name: str, params: Params, needed: bool, decode: bool
) -> tuple[DatasetReport, Size | None]:
    """What can be said of a dataset, and its size if it can be read.

    Args:
        needed: whether its problems count.
        decode: whether every image is opened, which reads all of them.

    Raises:
        DpcError: nobody knows the name.
    """
    if name in EMBEDDED:
        return _embedded(name, params, needed)
    if name in CATALOG:
        return _published(CATALOG[name], params, needed, decode)
    if name in params.data.on_disk:
        return _own(name, params, needed, decode)
    known = [*EMBEDDED, *CATALOG, *params.data.on_disk]
    raise DpcError(f"dataset {name!r} is not known (known: {', '.join(known)})")


def _embedded(name: str, params: Params, needed: bool) -> tuple[DatasetReport, Size | None]:
    report = DatasetReport(name, name, "embedded", needed)
    try:
        size = sizes.of_icons(name, params.data.test_cap)
    except DpcError as problem:
        return replace(report, problems=(Problem(name, str(problem)),)), None
    return replace(report, found=True, counts=size.counts), size


def _own(
    name: str, params: Params, needed: bool, decode: bool
) -> tuple[DatasetReport, Size | None]:
    place = params.data.on_disk[name]
    root = Path(params.data.root)
    split = str(root / place.split) if place.split else None
    folder = on_disk.image_folder(name, params)
    report = DatasetReport(name, name, "own", needed, found=folder.is_dir(), folder=str(folder))
    try:
        with _warnings() as notes:
            listing = on_disk.listing(name, params)
    except DpcError as problem:
        return replace(report, problems=(Problem(name, str(problem)),)), None
    report = replace(report, split=split, notes=tuple(notes))
    return _files(report, listing, decode)


def _published(
    published: Published, params: Params, needed: bool, decode: bool
) -> tuple[DatasetReport, Size | None]:
    name = published.name
    expected = Counts(published.classes, published.train, published.val, published.test)
    report = DatasetReport(
        name,
        published.title,
        "published",
        needed,
        expected=expected,
        expected_content=published.content,
    )
    try:
        place = places.find(published, params)
    except DpcError as problem:
        return replace(report, problems=(Problem(name, str(problem)),)), None
    if place is None:
        missing = Problem(
            name,
            f"{published.title} was not found below {params.data.root}/",
            f"put it to {Path(params.data.root) / published.folder}/, "
            f"or write its folder into data.places.{name}",
        )
        report = replace(report, problems=(missing,), get=how_to_get(published))
        return _explained(report, candidates(published, params, place)), None
    report = replace(
        report,
        found=True,
        layout=place.layout,
        folder=str(place.images),
        split=str(place.split) if place.split else None,
    )
    report = _split_of(report, published, place)
    report, size = _read(report, published, place, params, decode)
    return _explained(report, candidates(published, params, place)), size


def _explained(report: DatasetReport, folders: Sequence[Path]) -> DatasetReport:
    """What lies there may be a copy that is known to be something else: then that is said alone.
    A dataset without a problem is never suspected."""
    wrong = copies.recognise(report.name, folders) if report.problems else []
    return replace(report, wrong_copy=True, problems=tuple(wrong)) if wrong else report


def _split_of(report: DatasetReport, published: Published, place: Place) -> DatasetReport:
    """With the hash of the split file's content, and the entries that leave the folder."""
    if place.split is None:
        return report
    try:
        entries = split_file.parse(place.split)
    except DpcError:
        return report  # the reader says it
    content = split_file.content_hash(entries)
    paths = [entry[0] for part in SPLITS for entry in entries[part]]
    outside = Files.of(path for path in paths if split_file.leaves(path))
    report = replace(report, content=content, outside=outside)
    if outside.count:
        what = f"{place.split} names {outside.count} images outside of {place.images}: {outside}"
        fix = f"put the original {published.split} there"
        report = _with(report, Problem(report.name, what, fix))
    if published.content not in (None, content):
        what = f"{place.split} says something else than the published split (hash {content[:12]}…)"
        fix = (
            f"put the original {published.split} there; a split of your own belongs into "
            "data.on_disk, under a name of its own"
        )
        report = _with(report, Problem(report.name, what, fix))
    return report


def _read(
    report: DatasetReport, published: Published, place: Place, params: Params, decode: bool
) -> tuple[DatasetReport, Size | None]:
    """With what the dataset's reader says, and its counts beside the published ones."""
    try:
        with _warnings():  # what it warns of is said below, in full
            listing = on_disk.listing(report.name, params)
    except DpcError as problem:
        if not report.problems:  # else it is known already why it cannot be read
            report = _with(report, Problem(report.name, str(problem)))
        return replace(report, get=how_to_get(published)), None
    report = replace(report, notes=tuple(_notes(listing, place)))
    report, size = _files(report, listing, decode)
    counts, expected = report.counts, report.expected
    differing = [
        f"{getattr(counts, part):,} {word} (for {getattr(expected, part):,})"
        for part, word in COUNTED.items()
        if getattr(expected, part) is not None and getattr(counts, part) != getattr(expected, part)
    ]
    if differing and not report.problems:
        what = f"{published.title} holds {', '.join(differing)}: not the published set"
        report = _with(report, Problem(report.name, what, "unpack the original anew"))
    if published.split and published.content is None:
        note = f"hash of the split's content {report.content}; no published one to compare with"
        report = replace(report, notes=(*report.notes, note))
    return report, size


def _files(
    report: DatasetReport, listing: Listing, decode: bool
) -> tuple[DatasetReport, Size | None]:
    """With counts, missing images and, if asked, those that cannot be decoded."""
    size = sizes.of_listing(listing)
    missing = images.missing(listing)
    report = replace(report, counts=size.counts, missing=missing)
    if missing.count:
        what = f"{missing.count} images that the split names are not in {listing.folder}: {missing}"
        fix = "unpack the original anew, with its own file names"
        return _with(report, Problem(report.name, what, fix)), size
    if decode:
        try:
            opened, bad = images.undecodable(report.name, listing)
        except DpcError as problem:  # one that may not be read
            return _with(report, Problem(report.name, str(problem))), size
        report = replace(report, opened=opened, undecodable=Files.of(bad))
        if bad:
            reasons = [f"{image} ({reason})" for image, reason in bad.items()]
            what = f"{len(bad)} images cannot be decoded: {Files.of(reasons)}"
            report = _with(report, Problem(report.name, what, "restore them from the archive"))
    return report, size


def candidates(published: Published, params: Params, place: Place | None) -> list[Path]:
    """Folders that may hold the dataset or something that goes by its name, each once."""
    root = Path(params.data.root)
    given = params.data.places.get(published.name)
    found = [root / given] if given else []
    if place is not None:
        found += [place.folder, place.images]
    found.append(root / published.folder)
    for layout in published.layouts:
        found += [root / layout, root / Path(layout).parts[0]]
    if published.folder == root.name:
        found.append(root)
    return list(dict.fromkeys(found))


def how_to_get(published: Published) -> tuple[str, ...]:
    """Lines: what to download and where it goes; nothing is downloaded here."""
    pages = [f"page:   {page}" for page in published.pages]
    if published.split:
        pages.append(f"split:  {published.split}: {GUIDE}")
    mirrors = [f"mirror: {mirror}" for mirror in published.mirrors]
    return (f"{published.folder}/: {published.hint}", *pages, *mirrors)


def _notes(listing: Listing, place: Place) -> Iterator[str]:
    """Facts that change nothing: classes of one name, and files that are never read."""
    labels: dict[str, list[int]] = {}
    for label, name in enumerate(listing.classnames):
        labels.setdefault(name, []).append(label)
    twice = [f"{name!r} {tuple(same)}" for name, same in labels.items() if len(same) > 1]
    if twice:
        yield (
            f"classes that share a name, by label: {Files.of(twice)}; their text features are "
            "equal, so the first one wins"
        )
    pickles = places.pickles(place.folder)
    if pickles:
        names = Files.of(str(path.relative_to(place.folder)) for path in pickles)
        yield f"pickles are ignored, never read: {names}"


def _with(report: DatasetReport, problem: Problem) -> DatasetReport:
    return replace(report, problems=(*report.problems, problem))


@contextmanager
def _warnings() -> Iterator[Sequence[str]]:
    """What a reader warns of, kept instead of shown."""
    lines: list[str] = []

    class Keeper(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if record.levelno >= logging.WARNING:
                lines.append(record.getMessage())

    handlers = LOG.handlers[:]
    LOG.handlers[:] = [Keeper()]
    try:
        yield lines
    finally:
        LOG.handlers[:] = handlers
