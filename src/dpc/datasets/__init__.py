"""Datasets: where images and labels come from. A source is one file and one line here."""

# name -> "module:function"; a source function takes (name, params) and returns a datasets.base.Raw.
EMBEDDED: dict[str, str] = dict.fromkeys(
    (
        "icons-tabler",
        "icons-phosphor",
        "icons-remix",
        "icons-bootstrap",
        "icons-fluent",
        "icons-many",
    ),
    "dpc.datasets.icons:read",
)
ON_DISK = "dpc.datasets.split_file:read"
