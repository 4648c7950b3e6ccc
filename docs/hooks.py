"""The site's pages that lie outside docs/, and links between the two that hold in both places.

On GitHub a link leads from file to file. The site has one folder, so files from elsewhere get a
place in it, and links to them are written anew.
"""

import posixpath
import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[1]
# Path in the repository -> place in the site.
OUTSIDE = {
    "README.md": "index.md",
    "CHANGELOG.md": "changelog.md",
    "data/README.md": "icons.md",
    "src/dpc/clip/weights/icons.md": "icons-clip.md",
    "src/dpc/clip/weights/icons-large.md": "icons-large.md",
    "params.yaml": "params.yaml",
    "CITATION.cff": "CITATION.cff",
    "LICENSE": "LICENSE",
}
LINK = re.compile(r"(?<=\]\()(?!\w+:|#|/)([^)\s#]+)")


def on_files(files: Files, config: Any) -> Files:
    """Add the files from outside docs/."""
    for source, place in OUTSIDE.items():
        files.append(File.generated(config, place, abs_src_path=str(ROOT / source)))
    return files


def on_page_markdown(markdown: str, page: Page, **_: Any) -> str:
    """The page's text with links that hold in the site."""
    place = page.file.src_uri
    source = {there: here for here, there in OUTSIDE.items()}.get(place, f"docs/{place}")
    return LINK.sub(lambda link: moved(link[1], source, place), markdown)


def moved(link: str, source: str, place: str) -> str:
    """A link of the file ``source`` as the page at ``place`` has to write it."""
    target = posixpath.normpath(posixpath.join(posixpath.dirname(source), link))
    there = OUTSIDE.get(target, target.removeprefix("docs/"))
    return posixpath.relpath(there, posixpath.dirname(place) or ".")
