"""Thirty sentences that a newcomer might type, in three languages, and the scenes they mean.

Some hold words that no caption ever held ("knight", "library"); their scene has what is left.
"""

from dataclasses import dataclass
from typing import Final

from generation.builtin.concepts import Concept
from generation.builtin.words import Scene, Thing


@dataclass(frozen=True, kw_only=True)
class Sentence:
    """What somebody types, and what they mean by it."""

    text: str
    things: tuple[str, ...]  # English names; with "red " before one, its colour
    relation: str | None = None
    background: str | None = None
    ground: str | None = None
    style: str | None = None

    def scene(self, concepts: list[Concept]) -> Scene | None:
        """The scene in a model's concepts; None if it does not know all things by name."""
        places = {concept.names["en"][0]: place for place, concept in enumerate(concepts)}
        things = []
        for said in self.things:
            colour, _, name = said.rpartition(":")
            if name not in places:
                return None
            things.append(Thing(concept=places[name], colour=colour or None))
        return Scene(
            things=tuple(things),
            relation=self.relation,
            background=self.background,
            ground=self.ground,
            style=self.style,
        )


def _said(text: str, *things: str, **rest: str) -> Sentence:
    return Sentence(text=text, things=things, **rest)


_UNDER_A_TREE: Final = ("cat", "deciduous tree")
SENTENCES: Final = (
    _said("a cat under a tree at night", *_UNDER_A_TREE, relation="under", ground="night"),
    _said("a dog on the beach", "dog", ground="beach"),
    _said("a house in the snow", "house", ground="snow"),
    _said("a rocket in space", "rocket", ground="space"),
    _said("a penguin in front of a castle", "penguin", "castle", relation="in front of"),
    _said("an owl on a book", "owl", "books", relation="on"),
    _said("a red car in the city", "red:automobile", ground="city"),
    _said("a knight and a dragon", "dragon"),
    _said("a medieval library at dusk"),
    _said("watercolour of a fox in a forest", "fox", ground="forest", style="watercolour"),
    _said("pixel art of a robot", "robot", style="pixel art"),
    _said("a unicorn next to a rainbow", "unicorn", "rainbow"),
    _said(
        "an astronaut riding a horse in the desert",
        "astronaut", "horse", relation="on", ground="desert",
    ),
    _said("a wizard with a crystal ball", "mage", "crystal ball"),
    _said("un chat sur un canapé", "cat", "couch and lamp", relation="on"),
    _said("un bateau sur la mer", "sailboat", ground="sea"),
    _said("un château dans la neige", "castle", ground="snow"),
    _said("une sorcière dans la forêt", "woman mage", ground="forest"),
    _said("un éléphant rose sur fond jaune", "pink:elephant", background="yellow"),
    _said("un chien devant une maison", "dog", "house", relation="in front of"),
    _said("dessin au trait d'un papillon", "butterfly", style="outline"),
    _said("un chevalier sur un cheval blanc", "white:horse"),
    _said("un gato negro bajo la luna", "black cat", "crescent moon", relation="under"),
    _said("un pez en el mar", "fish", ground="sea"),
    _said("una bicicleta roja en la ciudad", "red:bicycle", ground="city"),
    _said("un pingüino y un oso polar en la nieve", "penguin", "polar bear", ground="snow"),
    _said("un dragón encima de un castillo", "dragon", "castle", relation="on"),
    _said("acuarela de una flor", "blossom", style="watercolour"),
    _said("un robot frente a una computadora", "robot", "laptop", relation="in front of"),
    _said("una biblioteca antigua de noche"),
)  # fmt: skip
