"""What is known of the published datasets: where they lie, what they hold, where they come from.

Names are those of CoOp's configurations, folders and split files those of its data guide.
"""

from dataclasses import dataclass

GUIDE = "https://github.com/KaiyangZhou/CoOp/blob/main/DATASETS.md"  # split files, classnames.txt
# All of them but ImageNet, in a nested layout.
MIRROR = "https://huggingface.co/zhengli97/prompt_learning_dataset"


@dataclass(frozen=True)
class Published:
    """Facts about one dataset; nothing here is read from the disk.

    Attributes:
        name: as params.yaml and `dpc list` call it.
        title: as the papers' tables call it.
        folder: of the dataset below data.root.
        images: folder of the images below ``folder``; empty: ``folder`` itself.
        split: file of CoOp's authors that parts the images; empty: the dataset has none.
        classes: how many.
        train, val, test: images of each split; None: there is no such split.
        content: SHA-256 of the parsed split file, see `dpc.datasets.split_file.content_hash`;
            None: there is none, or it is not known.
        template: sentence of zero-shot CLIP; {} is the class name.
        marks: paths below ``folder`` that are there if it is this dataset's folder.
        layouts: other places of ``folder`` below data.root that copies in circulation have.
        pages: where the authors offer the images.
        mirrors: other places that are known to offer them.
        variant_of: the dataset whose class names it shares.
        hint: what to download and what goes where, in one line.
    """

    name: str
    title: str
    folder: str
    images: str
    classes: int
    test: int
    hint: str
    pages: tuple[str, ...]
    train: int | None = None
    val: int | None = None
    split: str = ""
    content: str | None = None
    template: str = "a photo of a {}."
    marks: tuple[str, ...] = ()
    layouts: tuple[str, ...] = ()
    mirrors: tuple[str, ...] = (MIRROR,)
    variant_of: str | None = None

    @property
    def test_only(self) -> bool:
        """Whether nothing can be tuned on it, since it has no training images."""
        return self.train is None


_ALL = (
    Published(
        name="imagenet",
        title="ImageNet",
        folder="imagenet",
        images="images",
        classes=1000,
        train=1_281_167,
        test=50_000,  # its validation images
        marks=("images/train/n01440764", "images/val"),
        layouts=("imagenet-1k/imagenet",),
        pages=("https://image-net.org/download.php",),
        mirrors=(),
        hint="ILSVRC2012's training and validation archives to images/train/ and images/val/, "
        f"both with a folder for each WordNet id, and classnames.txt ({GUIDE}) beside images/",
    ),
    Published(
        name="caltech101",
        title="Caltech101",
        folder="caltech-101",
        images="101_ObjectCategories",
        split="split_zhou_Caltech101.json",
        content="266b016abdaeeb65436a3273abb64b9c02633d8d97988b66592f0fd28b2659a4",
        classes=100,
        train=4128,
        val=1649,
        test=2465,
        layouts=("caltech-101/caltech-101",),
        pages=("https://data.caltech.edu/records/mzrjq-6wc02",),
        hint="101_ObjectCategories.tar.gz, unpacked, and the split file beside it",
    ),
    Published(
        name="oxford_pets",
        title="OxfordPets",
        folder="oxford_pets",
        images="images",
        split="split_zhou_OxfordPets.json",
        content="175852640a3b1e8d7441c6224786fd018b4d6bcdd60f4495edca8a185631729d",
        template="a photo of a {}, a type of pet.",
        classes=37,
        train=2944,
        val=736,
        test=3669,
        layouts=("oxford_pets/oxford_pets",),
        pages=("https://www.robots.ox.ac.uk/~vgg/data/pets/",),
        hint="images.tar.gz, unpacked to images/, and the split file beside it",
    ),
    Published(
        name="stanford_cars",
        title="StanfordCars",
        folder="stanford_cars",
        images="",
        split="split_zhou_StanfordCars.json",
        content="bffbe347fbf93ad532133ff506d15606ac007812cfac9933551a5877f5263dd3",
        classes=196,
        train=6509,
        val=1635,
        test=8041,
        marks=("cars_train", "cars_test"),
        layouts=("stanford_cars/stanford_cars",),
        pages=("https://ai.stanford.edu/~jkrause/cars/car_dataset.html",),
        mirrors=("https://github.com/pytorch/vision/issues/7545", MIRROR),
        hint="cars_train/ and cars_test/ with the original file names (00001.jpg, …), and the "
        "split file beside them; copies with other names do not fit it",
    ),
    Published(
        name="oxford_flowers",
        title="Flowers102",
        folder="oxford_flowers",
        images="jpg",
        split="split_zhou_OxfordFlowers.json",
        content="9bf82a401539357a181e5f0b836ae7fcd5baa38b55e264a2059df8e86adc898a",
        template="a photo of a {}, a type of flower.",
        classes=102,
        train=4093,
        val=1633,
        test=2463,
        layouts=("flowers-102/oxford_flowers",),
        pages=("https://www.robots.ox.ac.uk/~vgg/data/flowers/102/",),
        hint="102flowers.tgz, unpacked to jpg/, and the split file beside it",
    ),
    Published(
        name="food101",
        title="Food101",
        folder="food-101",
        images="images",
        split="split_zhou_Food101.json",
        template="a photo of {}, a type of food.",
        classes=101,
        train=50_500,
        val=20_200,
        test=30_300,
        layouts=("food101/food-101",),
        pages=("https://data.vision.ee.ethz.ch/cvl/datasets_extra/food-101/",),
        hint="food-101.tar.gz, unpacked (images/ with a folder for each class), and the split "
        "file beside images/; meta/ is not used",
    ),
    Published(
        name="fgvc_aircraft",
        title="FGVCAircraft",
        folder="fgvc_aircraft",
        images="images",
        template="a photo of a {}, a type of aircraft.",
        classes=100,
        train=3334,
        val=3333,
        test=3333,
        marks=("variants.txt",),
        layouts=(
            "fgvc_aircraft/fgvc-aircraft-2013b/fgvc_aircraft",
            "fgvc_aircraft/fgvc-aircraft-2013b/data",
        ),
        pages=("https://www.robots.ox.ac.uk/~vgg/data/fgvc-aircraft/",),
        hint="of fgvc-aircraft-2013b.tar.gz the folder data/, renamed to fgvc_aircraft/: images/, "
        "variants.txt and images_variant_{train,val,test}.txt",
    ),
    Published(
        name="sun397",
        title="SUN397",
        folder="sun397",
        images="SUN397",
        split="split_zhou_SUN397.json",
        classes=397,
        train=15_880,
        val=3970,
        test=19_850,
        layouts=("sun-397/sun397",),
        pages=("https://vision.princeton.edu/projects/2010/SUN/",),
        hint="SUN397.tar.gz, unpacked (SUN397/a/ to SUN397/z/), and the split file beside SUN397/",
    ),
    Published(
        name="dtd",
        title="DTD",
        folder="dtd",
        images="images",
        split="split_zhou_DescribableTextures.json",
        content="0d04a9bb08938c9d435fc3c6b5030906334f6d8ccf4d80f8319e5d7f4fbdd4ba",
        template="{} texture.",
        classes=47,
        train=2820,
        val=1128,
        test=1692,
        layouts=("dtd/dtd/dtd", "dtd/dtd"),
        pages=("https://www.robots.ox.ac.uk/~vgg/data/dtd/",),
        hint="dtd-r1.0.1.tar.gz, unpacked (images/ with a folder for each class), and the split "
        "file beside images/",
    ),
    Published(
        name="eurosat",
        title="EuroSAT",
        folder="eurosat",
        images="2750",
        split="split_zhou_EuroSAT.json",
        content="b9db23fedd13a2d3374107fe494f4fa814e7837c771660c850aab95ec391ad1a",
        template="a centered satellite photo of {}.",
        classes=10,
        train=13_500,
        val=5400,
        test=8100,
        layouts=("eurosat/eurosat",),
        pages=("https://github.com/phelber/EuroSAT",),
        hint="EuroSAT.zip, the RGB one, unpacked to 2750/ (not the 13-band TIFF images), and the "
        "split file beside it",
    ),
    Published(
        name="ucf101",
        title="UCF101",
        folder="ucf101",
        images="UCF-101-midframes",
        split="split_zhou_UCF101.json",
        content="29a5dc239824943e473244fc18abf1b43734213fc748cffa25ccd773fbe7271a",
        template="a photo of a person doing {}.",
        classes=101,
        train=7639,
        val=1898,
        test=3783,
        layouts=("ucf101/ucf101",),
        pages=(GUIDE, "https://www.crcv.ucf.edu/data/UCF101.php"),
        hint="UCF-101-midframes.zip of CoOp's authors, one frame of each video, unpacked, and the "
        "split file beside it",
    ),
    Published(
        name="imagenetv2",
        title="ImageNetV2",
        folder="imagenetv2",
        images="imagenetv2-matched-frequency-format-val",
        classes=1000,
        test=10_000,
        pages=("https://github.com/modestyachts/ImageNetV2",),
        mirrors=("https://huggingface.co/datasets/vaishaal/ImageNetV2", MIRROR),
        variant_of="imagenet",
        hint="the matched-frequency archive, unpacked (folders 0 to 999), and ImageNet's "
        "classnames.txt beside it",
    ),
    Published(
        name="imagenet_sketch",
        title="ImageNet-Sketch",
        folder="imagenet-sketch",
        images="images",
        classes=1000,
        test=50_889,
        marks=("images/n01440764",),  # without train/ between them, as ImageNet has it
        pages=("https://github.com/HaohanWang/ImageNet-Sketch",),
        variant_of="imagenet",
        hint="the archive, its folder sketch/ renamed to images/, and ImageNet's classnames.txt "
        "beside it",
    ),
    Published(
        name="imagenet_a",
        title="ImageNet-A",
        folder="imagenet-adversarial",
        images="imagenet-a",
        classes=200,
        test=7500,
        pages=("https://github.com/hendrycks/natural-adv-examples",),
        variant_of="imagenet",
        hint="imagenet-a.tar, unpacked to imagenet-a/, and ImageNet's classnames.txt beside it",
    ),
    Published(
        name="imagenet_r",
        title="ImageNet-R",
        folder="imagenet-rendition",
        images="imagenet-r",
        classes=200,
        test=30_000,
        pages=("https://github.com/hendrycks/imagenet-r",),
        variant_of="imagenet",
        hint="imagenet-r.tar, unpacked to imagenet-r/, and ImageNet's classnames.txt beside it",
    ),
)
# In the order of the paper's tables: the eleven of base-to-new first, then ImageNet's variants.
CATALOG: dict[str, Published] = {published.name: published for published in _ALL}
