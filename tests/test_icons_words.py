import pytest

from dpc.icons.words import CONCEPTS, SYNONYMS, canonical, concept, content_words, split_name, style


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("cloud-download-outline", ["cloud", "download"]),
        ("outline-home-2", ["home", "2"]),
        ("outline-home2", ["home"]),
        ("ic-fluent-arrow-left-24-regular", ["arrow", "left", "24"]),
        ("CamelCase_sharp", ["camel", "case"]),
    ],
)
def test_names_become_words_without_styles_and_trailing_digits(name, words):
    assert content_words(name) == words


def test_a_number_alone_stays():
    assert content_words("360") == ["360"]


def test_synonyms_share_one_canonical_word_and_no_word_is_in_two_groups():
    assert {canonical(word) for word in ("home", "house")} == {"house"}
    assert canonical("giraffe") == "giraffe"
    assert all(word in group for word, group in SYNONYMS.items())


def test_styles_are_read_from_the_name_before_the_family():
    assert style("home-outline", "filled") == "outline"
    assert style("mini-home") == "filled"
    assert style("home", "sharp") == "sharp"
    assert style("home") == ""
    assert style("sharp-outline-home") == "sharp"


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("home-plus", "house"),
        ("brand-github", None),
        ("square-arrow", None),
        ("user-plus", "user"),
        ("abacus-plus", None),
        ("plus-minus", "plus"),
        ("old-clouds", "cloud"),
    ],
)
def test_the_first_concept_names_the_class_unless_a_frame_comes_first(name, found):
    assert concept(name) == found


def test_every_concept_is_its_own_canonical_word():
    """Otherwise no icon could ever reach it."""
    assert {word for word in CONCEPTS if canonical(word) != word} == set()


def test_split_name_cuts_at_case_changes():
    assert split_name("arrowUp_2") == ["arrow", "up", "2"]
