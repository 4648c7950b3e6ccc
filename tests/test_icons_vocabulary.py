"""The embedded CLIP and the embedded data sets belong together: it knows every class by name."""

import pytest

from dpc.clip.load import load
from dpc.clip.spec import ClipSpec
from dpc.icons import benchmark


@pytest.fixture(scope="module")
def clip():
    return load(ClipSpec())


@pytest.mark.slow
@pytest.mark.parametrize("name", benchmark.DATASETS)
def test_every_class_name_was_learned(clip, name):
    assert clip.unknown_words(list(benchmark.classes_of(benchmark.DATASETS[name]))) == []
