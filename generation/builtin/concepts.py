"""What the model is taught: which things, and what people call them in three languages.

A name may stand for one thing only. Claims are settled in the order of `_claims`: the label of
Unicode's CLDR first, then hand-written everyday words, singulars, head nouns, unique keywords.
Keywords that say what a thing is like and not what it is are left out: whoever asks for a medieval
library is not to get a crown, but to hear that the word is not known.
"""

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from generation.builtin.sources import LANGUAGES, Record, Style

_SUBGROUPS: Final = {11, 14, *range(34, 49), *range(50, 83)}
_ASKED_FOR: Final = (  # most, by people; a list by hand
    "grinning face|smiling face with sunglasses|smiling face with heart-eyes|crying face|"
    "angry face|face with tears of joy|skull|pile of poo|ghost|alien|robot|red heart|"
    "broken heart|eye|brain|baby|Santa Claus|astronaut|princess|mermaid|ninja|mage|thumbs up|"
    "footprints|dog face|cat face|lion|tiger face|horse face|unicorn|cow face|pig face|elephant|"
    "giraffe|mouse face|rabbit face|bear|koala|panda|fox|wolf|monkey face|zebra|deer|camel|"
    "hedgehog|bat|chicken|rooster|baby chick|bird|penguin|eagle|duck|owl|parrot|flamingo|"
    "peacock|frog|crocodile|turtle|lizard|snake|dragon face|T-Rex|spouting whale|dolphin|fish|"
    "tropical fish|shark|octopus|crab|snail|butterfly|bug|ant|honeybee|lady beetle|spider|rose|"
    "sunflower|tulip|cherry blossom|evergreen tree|deciduous tree|palm tree|cactus|maple leaf|"
    "four leaf clover|mushroom|bouquet|potted plant|grapes|watermelon|tangerine|lemon|banana|"
    "pineapple|red apple|green apple|pear|peach|cherries|strawberry|kiwi fruit|tomato|coconut|"
    "avocado|eggplant|carrot|ear of corn|hot pepper|broccoli|bread|croissant|cheese wedge|"
    "hamburger|french fries|pizza|hot dog|sandwich|taco|egg|popcorn|sushi|spaghetti|"
    "soft ice cream|doughnut|cookie|birthday cake|cupcake|chocolate bar|candy|lollipop|"
    "honey pot|glass of milk|hot beverage|wine glass|cocktail glass|beer mug|spoon|"
    "fork and knife|globe showing Americas|world map|mountain|volcano|desert island|house|"
    "castle|hospital|church|Tokyo tower|Statue of Liberty|fountain|tent|ferris wheel|locomotive|"
    "bus|ambulance|fire engine|police car|taxi|automobile|delivery truck|tractor|motorcycle|"
    "bicycle|sailboat|ship|anchor|airplane|helicopter|rocket|flying saucer|satellite|"
    "hourglass not done|alarm clock|watch|full moon|crescent moon|sun|sun with face|star|"
    "rainbow|cloud|umbrella|high voltage|snowflake|snowman|fire|droplet|ringed planet|"
    "jack-o-lantern|Christmas tree|balloon|fireworks|wrapped gift|trophy|soccer ball|basketball|"
    "baseball|american football|tennis|bullseye|kite|video game|game die|teddy bear|"
    "artist palette|crystal ball|glasses|sunglasses|t-shirt|jeans|dress|backpack|"
    "high-heeled shoe|running shoe|crown|top hat|ring|gem stone|bell|musical note|microphone|"
    "headphone|radio|saxophone|trumpet|guitar|violin|musical keyboard|drum|mobile phone|"
    "telephone|laptop|television|camera|candle|light bulb|open book|books|newspaper|money bag|"
    "envelope|package|pencil|paintbrush|scissors|locked|key|hammer|axe|crossed swords|bomb|"
    "bow and arrow|shield|wrench|gear|magnet|microscope|telescope|syringe|pill|door|bed|chair|"
    "toilet"
)
_FAVOURITES: Final = _ASKED_FOR.split("|")
_LEAVE_OUT: Final = re.compile(
    r"oncoming|o’clock|-thirty|moon face|quarter moon|gibbous|new moon|waning|mailbox|outbox"
    r"|inbox|speaker (low|medium)|muted|heart (decoration|exclamation|with|on)|mending|growing"
    r"|beating|revolving|two hearts"
    r"|(pink|orange|yellow|green|blue|purple|brown|black|grey|white) heart"
    r"|sun behind (small|large|rain)|cloud with (rain|lightning)$|umbrella (on|with)"
    r"|closed umbrella|(green|blue|orange) book|notebook$|page|bookmark tabs|envelope with"
    r"|incoming|e-mail|camera with|(2nd|3rd) place|softball|rugby|(yen|euro|pound) banknote"
    r"|chart .* yen|locked with|(spiral|tear)|tilted right|hourglass done|low battery|slash"
    r"|departure|arrival|small airplane|train$|metro|railway|tram|trolley|minibus|wheelchair"
    r"|cityscape at|sunrise over|goblin|guide dog|service|without snow|musical notes"
    r"|mobile phone with|open file|dvd|black cat|broken chain|receiver"
    r"|(heart|spade|diamond|club) suit|diya|two-hump|banknote with|folding|clutch|briefs"
    r"|card index|linked|level slider|trackball|Japanese (post|dolls)|love hotel|tanabata"
    r"|pine decoration|ewe|identification|placard|running shirt|nazar|hamsa|prayer|bank$"
    r"|derelict|foggy|milky|landslide|roller coaster|sari|kimono|flat shoe"
    r"|woman’s (sandal|clothes)|ballot|oden|dango|fish cake|rice cracker|curry rice|bento"
    r"|department|convenience|ruler|^link|round pushpin|sheaf|decreasing"
    r"|(hatching|front-facing) .*chick|waxing|timer clock|clinking|card file|control knobs"
    r"|film frames|rolled-up|reminder|with snow|^label|wind chime|carp streamer|viewing"
    r"|red envelope|pager|fax|disk|videocassette|memo|light rail|monorail|sports medal"
    r"|motorway|shamrock|kaaba|love letter|flutter|playing cards|mahjong|nib|admission"
    r"|sparkling heart|shopping bags|construction$|hot springs|seat|(new|ceremony|streamer)$"
    r"|vertical traffic|goal net|poultry|custard|stuffed"
)
_FACED: Final = (
    "monkey",
    "dog",
    "cat",
    "tiger",
    "horse",
    "cow",
    "pig",
    "mouse",
    "rabbit",
    "dragon",
)
_ALIASES: Final[dict[str, tuple[str, str, str]]] = {  # several words for one thing: "car|auto"
    "red apple": ("apple", "pomme", "manzana"),
    "automobile": ("car", "auto", "auto|carro"),
    "sport utility vehicle": ("suv", "4x4", "todoterreno"),
    "articulated lorry": ("truck", "camion", "camión"),
    "fire engine": ("fire truck", "camion de pompiers", "camión de bomberos"),
    "motor scooter": ("moped", "scooter", "escúter"),
    "racing car": ("race car", "formule 1", "coche de carreras"),
    "locomotive": ("train", "train", "tren"),
    "hamburger": ("burger", "burger", "hamburguesa"),
    "birthday cake": ("cake", "gâteau", "tarta"),
    "soft ice cream": ("ice cream cone", "cornet de glace", "cono de helado"),
    "hot beverage": ("coffee", "café", "café"),
    "wrapped gift": ("gift", "cadeau", "regalo"),
    "mobile phone": ("smartphone|phone", "téléphone portable|portable", "móvil"),
    "red heart": ("heart", "cœur", "corazón"),
    "sailboat": ("boat", "bateau", "barco"),
    "airplane": ("plane", "avion", "avión"),
    "soccer ball": ("football|ball", "ballon de foot|ballon", "balón"),
    "evergreen tree": ("pine tree", "sapin", "pino"),
    "deciduous tree": ("tree", "arbre", "árbol"),
    "crossed swords": ("sword", "épée", "espada"),
    "books": ("book", "livre", "libro"),
    "crescent moon": ("moon", "lune", "luna"),
    "flying saucer": ("ufo", "ovni", "ovni"),
    "honeybee": ("bee", "abeille", "abeja"),
    "lady beetle": ("ladybug", "coccinelle", "mariquita"),
    "T-Rex": ("dinosaur", "dinosaure", "dinosaurio"),
    "alien": ("extraterrestrial", "extraterrestre", "extraterrestre"),
    "pile of poo": ("poop", "caca", "caca"),
    "jack-o-lantern": ("pumpkin", "citrouille", "calabaza"),
    "mage": ("wizard|sorcerer", "magicien|sorcier", "mago|hechicero"),
    "spouting whale": ("blue whale", "baleine bleue", "ballena azul"),
    "woman’s boot": ("boot", "botte", "bota"),
    "running shoe": ("sneaker", "basket", "zapatilla"),
    "man’s shoe": ("shoe", "chaussure", "zapato"),
    "gem stone": ("diamond", "diamant", "diamante"),
    "t-shirt": ("shirt", "chemise", "camiseta"),
    "top hat": ("hat", "chapeau", "sombrero"),
    "grinning face": ("smiley|smile", "sourire", "sonrisa"),
    "smiling face with sunglasses": ("cool face", "visage cool", "cara guay"),
    "globe showing Americas": ("globe", "globe", "globo terráqueo"),
    "ear of corn": ("corn", "maïs", "maíz"),
    "hot pepper": ("chili", "piment", "chile"),
    "doughnut": ("donut", "beignet", "rosquilla"),
    "french fries": ("fries", "frites", "patatas fritas"),
    "steaming bowl": ("ramen", "ramen", "ramen"),
    "money bag": ("money", "argent", "dinero"),
    "video game": ("game controller", "manette de jeu", "mando"),
    "spider web": ("web", "toile", "telaraña"),
    "military helmet": ("helmet", "casque", "casco"),
    "potted plant": ("plant", "plante", "planta"),
    "classical building": ("temple", "temple", "templo"),
    "laptop": ("computer", "ordinateur", "ordenador|computadora"),
    "hammer and wrench": ("tools", "outils", "herramientas"),
    "high voltage": ("lightning", "éclair", "rayo"),
    "wine glass": ("wine", "vin", "vino"),
    "beer mug": ("beer", "bière", "cerveza"),
    "glass of milk": ("milk", "lait", "leche"),
    "mantelpiece clock": ("clock", "horloge", "reloj"),
    "glowing star": ("shining star", "étoile brillante", "estrella brillante"),
    "camping": ("campsite", "campement", "campamento"),
    "rocket": ("spaceship|spacecraft", "vaisseau spatial", "nave espacial"),
    "bicycle": ("bike", "bicyclette", "bici"),
    "blossom": ("flower", "fleur", "flor"),
    "teacup without handle": ("tea|cup", "thé|tasse", "té|taza"),
    "handbag": ("bag", "sac", "bolso"),
    "package": ("box", "boîte|carton", "caja"),
    "globe showing Europe-Africa": ("earth", "terre", "tierra"),
    "houses": ("village", "village", "pueblo"),
    "cityscape": ("city", "ville", "ciudad"),
    "dog": ("puppy", "chiot", "cachorro"),
    "cat": ("kitten", "chaton", "gatito"),
    "rabbit": ("bunny", "petit lapin", "conejito"),
    "raised hand": ("hand", "main", "mano"),
    "woman mage": ("witch", "sorcière", "bruja"),
    "person with crown": ("king", "roi", "rey"),
    "smiling face with horns": ("devil|demon", "diable|démon", "diablo|demonio"),
    "health worker": ("doctor", "médecin|docteur", "médico|doctor"),
    "cook": ("chef", "chef", "cocinero"),
    "beach with umbrella": ("beach", "plage", "playa"),
    "cloud with rain": ("rain", "pluie", "lluvia"),
    "bridge at night": ("bridge", "pont", "puente"),
    "cocktail glass": ("cocktail", "verre à cocktail", "cóctel"),
    "cowboy hat face": ("cowboy", "cow-boy", "cowboy"),
    "castle": ("fort", "fort", "castillo"),
}
_DROPPED: Final = {
    "en": re.compile(r" face$"),
    "fr": re.compile(r"^(tête|visage|face) (de |d’)?"),
    "es": re.compile(r"^cara (de )?"),
}
_UNTAUGHT: Final = (None, 2, 9)  # groups of emojibase: lone letters, components, flags
_TAGGED: Final = range(
    3, 8
)  # groups whose keywords are names: nature, food, places, pastimes, objects
_SIGNS: Final = re.compile(r"[“”«»\":!()]")
_LIKENESS: Final = {  # endings of words for what things are like, or for what one does with them
    "en": re.compile(r"(ing|ed|ful|less|ous|ive|able|ible|ly|ic)$"),
    "fr": re.compile(r"(er|ir|eux|euse|ifs?|ive|ante?|ée?s?|ique|[ai]ble)$"),
    "es": re.compile(r"([aei]r(se)?|[ai]d[oa]|os[oa]|iv[oa]|ble|nte)$"),
}
_PEOPLE: Final = re.compile("gay|lesb|lgbt|glbt|queer|homosex|bisex|transg")
_LIKE_OR_ABOUT: Final = (  # it, but not its name; a list by hand
    "spiny|shiny|salty|glittery|artsy|arty|comfy|cloudy|handy|hairy|easy|dairy|mystery|"
    "habitat|springtime|dressage|equitation|adventure|"
    "alpha|order|mane|spots|manchas|taches|under|stripe|rayure|rayures|raya|pirate|pirata|skills|"
    "antarctica|antarctique|flipper|potassium|diet|ripe|wild|crops|carbs|serve|treat|cavities|"
    "extra|bless|nyc|york|nueva|class|gang|resort|launch|trains|hrs|rays|rayons|shine|zap|lit|"
    "litaf|jack|present|presente|champion|champs|super|direct|hit|target|future|avenir|fashion|"
    "medieval|strat|personal|studio|study|major|password|repairs|split|attraction|shape|drugs|"
    "front|sit|fall|side|mai|tai|tropics|tropiques|mount|cubical|action|list|national|classical|"
    "nacional|zoom|field|worker's|birth|born|compress|vice|wrap|bok|test|culture|evolution|punk|"
    "laundry|farming|auto|slow|lent|lento|iron|moule|herd|flight|maggot|solid|tough|cinco|mayo|"
    "warrior|army|long|rhythm|metal|trim|hook|step|force|suction|change|climate|beans|purity|"
    "accident|nothing|turn|wings|ass|claw|caw|natural|band|glory|bare|wealth|night|nuit|noche|"
    "sky|ciel|cielo|garden|jardin|jardín|park|parc|parque|kitchen|stars|table|mesa|evening|"
    "landscape|media|links|access|ground|market|edge|rule|set|age|once|single|luck|lucky|ugly|"
    "jump|neck|curious|lazy|gluant|blanca|roja|hot|haute|haut|alto|grande|jeune|dans|air|une|"
    "jour|verano|idea|tiempo|vida|vie|colores|couleurs|otoño|dieta|efecto|movimiento|brasil|"
    "suizo|suisse|luxe|luxury|espagne|grec|grèce|chine|maurice|gros|jolie|classique|flottant|"
    "noir|couche|vertige|soirée|gloire|premier|primero|invierno|muerto|plaza|libre|guerre|guerra|"
    "roc|réaction|sort|semi|caída|desierta|cruzadas|croisées|oscuras|escolar|picante|caliente|"
    "preciosa|antigua|militar|stubborn|shallow|magician|postal|horizontal|triangular|octagonal|"
    "equestrian|underwater|transparent|recreational|winter|second|third|american|sharp|polar|"
    "address|fire|têtu|terco|léger|ligero|oscuridad|poco|vertical|sombre"
)
_NOT_NAMES: Final = frozenset(_LIKE_OR_ABOUT.split("|"))
_INVARIABLE: Final = {  # no plurals, or plurals without a singular
    "en": re.compile(r"^aries$|(ss|us|is|as|os|'s|sses|thes|ceps|sces)$"),
    "fr": re.compile(r"([uiaosrp]s|[^u]x|(?<!ea)ux)$|^(dans|sans|sens|moins|bloc-|porte-)"),
    "es": re.compile(r"([uúií]|ep)s$|^(para|porta|pinta|marca|aries|menos|tres)"),
}
_ENDINGS: Final = {  # of plurals, and what takes their place
    "en": (("ies", "y"), ("xes", "x"), ("ches", "ch"), ("shes", "sh"), ("sses", "ss"), ("s", "")),
    "fr": (("eaux", "eau"), ("s", "")),
    "es": (
        ("ces", "z"),
        ("les", "l"),
        ("ores", "or"),
        ("eres", "er"),
        ("ones", "ón"),
        ("ines", "ín"),
        ("enes", "én"),
        ("s", ""),
    ),
}
_TAGS_KEPT: Final = 4
_LEVELS: Final = 5


@dataclass(frozen=True, kw_only=True)
class Concept:
    """One drawing and its names."""

    code: str  # emojibase hexcode, the key to the drawings
    names: dict[str, tuple[str, ...]]  # language -> names, the most usual first, never empty


def choose(records: dict[str, list[Record]], style: Style, count: int) -> list[Concept]:
    """The `count` best-known things of the set that `style` can draw, with their names.

    First what people ask for most (a list by hand), then things, animals, plants, food and vehicles
    without arrows, clock faces and near doubles, the earliest Unicode emoji versions first; where
    `count` goes beyond them, all else but flags.
    """
    drawn = [
        r for r in records["en"] if r.get("group") not in _UNTAUGHT and style.svg(r["hexcode"])
    ]
    drawn = _by_use(drawn)
    aliases = {r["hexcode"]: _ALIASES.get(r["label"]) for r in drawn[:count]}
    names = {language: _names(records[language], aliases, language) for language in LANGUAGES}
    return [
        Concept(code=code, names={language: names[language][code] for language in LANGUAGES})
        for code in aliases
    ]


def clean(name: str) -> str:
    """Lower case, plain apostrophes, no quotation marks, brackets or colons."""
    return " ".join(_SIGNS.sub(" ", name.lower().replace("’", "'")).split())


def singulars(name: str, language: str) -> Iterator[str]:
    """The likely singular of a plural: "books" -> "book", "luces" -> "luz"."""
    words = name.split()
    if language == "en":
        words, before = words[-1:], words[:-1]
    else:
        before = []
    single = [_singular(word, language) for word in words]
    if all(single):
        yield " ".join([*before, *(word for word in single if word)])


def _singular(word: str, language: str) -> str | None:
    """None for a word that is no plural."""
    if len(word) < 4 or _INVARIABLE[language].search(word):
        return None
    for ending, instead in _ENDINGS[language]:
        if word.endswith(ending):
            return word[: -len(ending)] + instead
    return None


def _by_use(records: list[Record]) -> list[Record]:
    """Favourites, then what is preferred, then the rest; in each the oldest emoji first."""
    favourite = {label: place for place, label in enumerate(_FAVOURITES)}

    def key(record: Record) -> tuple[int, bool, float, int]:
        place = favourite.get(record["label"], len(favourite))
        return place, not _preferred(record), float(record["version"]), int(record["order"])

    return sorted(records, key=key)


def _preferred(record: Record) -> bool:
    label = str(record["label"])
    if label in _FAVOURITES:
        return True
    chosen = record.get("subgroup") in _SUBGROUPS and not _LEAVE_OUT.search(label)
    return chosen and label not in _FACED


def _names(
    records: list[Record], aliases: Mapping[str, tuple[str, ...] | None], language: str
) -> dict[str, tuple[str, ...]]:
    """Code -> names that stand for it alone; a label shared by two things stays with both."""
    usage = Counter(tag for r in records for tag in r.get("tags", ()) if r.get("group") != 9)
    chosen = [record for record in records if record["hexcode"] in aliases]
    taken: dict[str, str] = {}
    for level in range(_LEVELS):
        wanted: dict[str, set[str]] = {}
        for record in chosen:
            alias = aliases[record["hexcode"]]
            extra = alias[LANGUAGES.index(language)] if alias else None
            for name in _claims(record, language, level, extra, usage):
                wanted.setdefault(name, set()).add(record["hexcode"])
        for name, claimants in wanted.items():
            if len(claimants) == 1 and len(name) > 1:
                taken.setdefault(name, next(iter(claimants)))
    found: dict[str, list[str]] = {record["hexcode"]: [] for record in chosen}
    for name, code in taken.items():
        found[code].append(name)
    return {
        record["hexcode"]: tuple(found[record["hexcode"]]) or (clean(record["label"]),)
        for record in chosen
    }


def _claims(
    record: Record, language: str, level: int, alias: str | None, usage: Counter[str]
) -> Iterator[str]:
    label = clean(record["label"])
    short = _DROPPED[language].sub("", label)
    words = label.split()
    head = words[-1] if language == "en" else words[0]
    if level == 0:
        yield label
    elif level == 1 and alias:
        yield from alias.split("|")
    elif level == 2:
        yield from (short, *singulars(short, language))
    elif level == 3:
        yield from (name for name in (head, *singulars(head, language)) if name not in _NOT_NAMES)
    elif level == 4 and record["group"] in _TAGGED:
        tags = [clean(tag) for tag in record.get("tags", ()) if usage[tag] == 1]
        yield from [tag for tag in tags if _names_a_thing(tag, language)][:_TAGS_KEPT]


def _names_a_thing(tag: str, language: str) -> bool:
    """Whether a keyword may be a name: one or two words, no likeness, no deed, no sign."""
    words = tag.split()
    return (
        len(tag) > 2
        and len(words) in (1, 2)
        and all(word.replace("-", "").replace("'", "").isalpha() for word in words)
        and tag not in _NOT_NAMES
        and not _LIKENESS[language].search(tag)
        and not _PEOPLE.search(tag)
    )
