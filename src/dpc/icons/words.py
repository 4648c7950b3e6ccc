"""Icon names -> words, styles and concepts; synonyms that join the names of the families."""

import re


def _set(text: str) -> frozenset[str]:
    return frozenset(text.split())


_SYNONYMS = """
user account person contact avatar
house home
gear cog settings setting
envelope mail email
search magnify magnifier magnifying zoom
message chat comment chatbubble chatbox
image photo picture
trash delete bin
cart trolley
mobile cellphone smartphone
bell notification notifications
x close xmark cross times dismiss
plus add
minus remove subtract
pencil edit
globe world earth
pin marker location
smiley emoticon mood emoji face
alert warning
money cash
bolt lightning flash
chart graph
microphone mic
off slash
drop droplet water
airplane plane flight
box package
bicycle bike
fire flame
funnel filter
lightbulb bulb
store shop storefront
television tv
check tick checkmark done
folder directory
file document
desktop computer monitor
truck lorry
headphones headphone
speaker volume
shirt tshirt
medical health
heart favorite like
eye visibility view
link chain
group people users
ship boat sailboat
puzzle extension
lock padlock
key vpn
send submit
hospital clinic
taxi cab
"""

# word -> all words of its group; the first of a group is the canonical one
SYNONYMS: dict[str, tuple[str, ...]] = {
    word: tuple(group.split()) for group in _SYNONYMS.strip().splitlines() for word in group.split()
}

# words of a name that tell how it is drawn or where it comes from, not what it shows
_STYLE_WORDS = _set(
    "outline outlined fill filled line bold thin light duotone regular sharp round rounded solid "
    "twotone two tone alt o s bx bxs mini micro sm lg variant sketch ic fluent lni"
)

# style -> the words that say it, in names and in captions
STYLES: dict[str, tuple[str, ...]] = {
    "outline": ("outline", "outlined"),
    "filled": ("filled", "fill", "solid"),
    "sharp": ("sharp",),
    "round": ("round", "rounded"),
}

# first words that announce a brand, a letter or a frame around another drawing
FRAMES = _set(
    "brand logo square circle hexagon triangle octagon pentagon rectangle letter number device "
    "devices sign simple inner alpha small large big the of and"
)

# what the downstream classes are about: nouns that several families draw, each of them the first
# word of at least eight pretraining drawings
CONCEPTS = _set(
    """
airplane alarm align anchor apple arrow badge bag ball bank barcode basket battery bed beer bell
bicycle bluetooth bolt book bookmark border bottle bowl box brain bread briefcase brush bucket bug
building bus cake calculator calendar camera candle car card caret cart cat chair chart chess
chevron cigarette clipboard clock cloud code coffee compass container cookie corner crown cube
cup currency cursor database desktop diamond dice dog door drop ear egg elevator engine eye
fan feather file film fire fish flag flask flower folder football fork frame funnel game
gas gear ghost gift git glass globe grid guitar hammer hand hat headphones headset heart
helmet hospital hourglass house image key keyboard ladder lamp laptop layout leaf lifebuoy lightbulb
link list lock magnet map mask math medal menu message microphone microscope mobile money moon
mountain mouse music network news note notebook paint palette paper parking pen pencil phone piano
pill pizza plant plug power presentation printer puzzle question radio rain receipt ribbon
robot rocket ruler satellite scale scan scissors screen search send server share shield ship shirt
shoe shopping shower signal skull smiley snow sofa sort soup speaker star stethoscope store storm
sun sword syringe table tag taxi tea telescope television temperature tent terminal text
thermometer thumb ticket tool tooth tornado tower tractor train trash tree trophy truck umbrella
user video virus wallet watch wave wheel wifi wind window wine woman wrench zodiac
"""
)

# they name a class only as the first word of a name: behind another word ("user plus") they
# say what happens to the thing
_FIRST_ONLY = _set(
    "alert archive check checkbox copy crop download envelope group help info minus newspaper "
    "pause pin play plus repeat skip toggle upload"
)


def canonical(word: str) -> str:
    """The first word of a word's synonym group, or the word itself."""
    return SYNONYMS.get(word, (word,))[0]


def split_name(name: str) -> list[str]:
    """Lower-case words of a name: cut at case changes and at all that is no letter or digit."""
    spaced = re.sub(r"([a-z])([A-Z])", r"\1 \2", name).lower()
    return [word for word in re.split(r"[^a-z0-9]+", spaced) if word]


def content_words(name: str) -> list[str]:
    """What a name says the drawing shows: no style words, no digits at the end ("home-2")."""
    kept = [word for word in split_name(name) if word not in _STYLE_WORDS]
    return [word.rstrip("0123456789") or word for word in kept]


def style(name: str, default: str = "") -> str:
    """The style a name tells: sharp and round before outline and filled; else ``default``."""
    words = set(split_name(name))
    for key in ("sharp", "round", "outline", "filled"):
        if words & set(STYLES[key]):
            return key
    return "filled" if words & {"mini", "micro"} else default


def concept(name: str) -> str | None:
    """The first concept a name mentions (plural counts); None after a frame or a brand."""
    words = content_words(name)
    if not words or words[0] in FRAMES:
        return None
    if canonical(words[0]) in _FIRST_ONLY:
        return canonical(words[0])
    for word in words:
        for candidate in (canonical(word), canonical(word.removesuffix("s"))):
            if candidate in CONCEPTS:
                return candidate
    return None
