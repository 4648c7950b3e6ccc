"""Datasets: where images and labels come from. A dataset is one file and one line here."""

# name -> "module:function"; the function takes (name, params) and returns a datasets.base.Raw.
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
# Published sets on the user's disk: the function takes (name, params) and returns a
# datasets.base.Listing; images are hashed and checked alike for all of them.
PUBLISHED: dict[str, str] = {
    "imagenet": "dpc.datasets.imagenet:listing",
    "caltech101": "dpc.datasets.zhou:listing",
    "oxford_pets": "dpc.datasets.zhou:listing",
    "stanford_cars": "dpc.datasets.zhou:listing",
    "oxford_flowers": "dpc.datasets.zhou:listing",
    "food101": "dpc.datasets.zhou:listing",
    "fgvc_aircraft": "dpc.datasets.fgvc:listing",
    "sun397": "dpc.datasets.zhou:listing",
    "dtd": "dpc.datasets.zhou:listing",
    "eurosat": "dpc.datasets.zhou:listing",
    "ucf101": "dpc.datasets.zhou:listing",
    "imagenetv2": "dpc.datasets.imagenet_variants:listing",
    "imagenet_sketch": "dpc.datasets.imagenet_variants:listing",
    "imagenet_a": "dpc.datasets.imagenet_variants:listing",
    "imagenet_r": "dpc.datasets.imagenet_variants:listing",
}
TEST_ONLY = ("imagenetv2", "imagenet_sketch", "imagenet_a", "imagenet_r")
# Those of data.on_disk.
OWN = "dpc.datasets.own:listing"
