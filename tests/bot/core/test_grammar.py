"""The grammar: tables of what people type, and properties that hold for whatever they type."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bot.core.grammar import MAX_SEED, echo, parse
from bot.core.names import hint, suggest_names
from bot.i18n import LOCALES, say
from storage.catalog import Catalog, LoraEntry, ModelEntry, StyleEntry
from storage.domain import (
    Attached,
    Complaint,
    EventKey,
    ImageRequest,
    Kept,
    Linked,
    Place,
    Platform,
    RawCommand,
    ReferenceUse,
    Requester,
)

CATALOG = Catalog(
    models={
        "tiny": ModelEntry(
            source="tiny",
            width=64,
            height=64,
            steps=12,
            max_steps=50,
            guidance_scale=3.0,
            max_guidance_scale=12.0,
            display_scale=4,
            names=("apple", "red fox", "bateau", "árbol"),
        ),
        "Dream XL": ModelEntry(
            source="dream", width=1024, height=768, size_multiple=64, scheduler="euler_a"
        ),
    },
    styles={"sketch": StyleEntry(suffix=", pencil"), "oil paint": StyleEntry(suffix=", oil")},
)
PICTURE = Kept(sha256="a" * 64)
LINK = "https://i.imgur.com/a.png"


def raw(text: str, **changes: Any) -> RawCommand:
    return RawCommand(
        event=EventKey(platform=Platform.TERMINAL, kind="draw", id="1"),
        requester=Requester(platform=Platform.TERMINAL, user_id="me"),
        place=Place(platform=Platform.TERMINAL),
        text=text,
        **changes,
    )


def parsed(text: str, **changes: Any) -> ImageRequest | Complaint:
    return parse(raw(text, **changes), CATALOG, default_model="tiny", random_seed=lambda: 99)


def asked(text: str, **changes: Any) -> ImageRequest:
    result = parsed(text, **changes)
    assert isinstance(result, ImageRequest), result
    return result


def complained(text: str, **changes: Any) -> str:
    result = parsed(text, **changes)
    assert isinstance(result, Complaint), result
    return say("en", result.text, **result.values)


@pytest.mark.parametrize(
    ("text", "prompt", "negative"),
    [
        ("a red fox", "a red fox", ""),
        ("  a\tred\n fox ", "a red fox", ""),
        ("a (red:1.3) fox, ((old))", "a (red:1.3) fox, ((old))", ""),
        ("a fox (-bad hands -unnatural hands)", "a fox", "bad hands, unnatural hands"),
        ("a fox (−bad hands –unnatural hands), snow", "a fox , snow", "bad hands, unnatural hands"),
        ("a fox ( - hands, - text )", "a fox", "hands, text"),
        ("a fox (-(bad hands:1.3) -text)", "a fox", "(bad hands:1.3), text"),
        ("a fox (-t-shirt -well-lit)", "a fox", "t-shirt, well-lit"),
        ("a fox --no hands, text", "a fox", "hands, text"),
        ("a fox (-hands) --no text, Hands, text", "a fox", "text, Hands"),
        ("a fox —no text", "a fox", "text"),
        ("a fox ––no text", "a fox", "text"),
        ("a fox –no text", "a fox", "text"),
        ("a fox --no text --seed 7 in snow", "a fox in snow", "text"),
        ("a fox --no -text -hands", "a fox", "text, hands"),
        ("a fox --no 'text'", "a fox", "text"),
        ("a t-shirt --no 'logo, text'", "a t-shirt", "logo, text"),
        ("a t-shirt --no ‘logo, text’ --seed 1", "a t-shirt", "logo, text"),
        ("a t-shirt --no 'logo', \"text\"", "a t-shirt", "logo, text"),
        ("a t-shirt --no « logo, texte »", "a t-shirt", "logo, texte"),
        ("a stage --no rock 'n' roll, l'eau", "a stage", "rock 'n' roll, l'eau"),
        ("smile :-) (-_-) (-:", "smile :-) (-_-) (-:", ""),
        ("the cat —black and white", "the cat —black and white", ""),
        ("2 -- 3 - 4", "2 -- 3 - 4", ""),
        ("a house -- no people", "a house -- no people", ""),
        ("the cat — style of Monet", "the cat — style of Monet", ""),
        ("a man — model citizen", "a man — model citizen", ""),
        ("a stair — steps 3 metres wide", "a stair — steps 3 metres wide", ""),
        ("a garden – seed beds", "a garden – seed beds", ""),
        ("the end — private", "the end", ""),
        (r"a \(-b\) c", r"a \(-b\) c", ""),
        ("cat++ and .blend() {red|blue}", "cat++ and .blend() {red|blue}", ""),
        ("an {image of a} fox", "an {image of a} fox", ""),
        (
            "un renard à l'affût (-mains ratées -texte)",
            "un renard à l'affût",
            "mains ratées, texte",
        ),
        ("un zorro en la nieve —no texto, manos", "un zorro en la nieve", "texto, manos"),
        ("el niño —dijo ella— ríe", "el niño —dijo ella— ríe", ""),
        ("a\u202e fo\u200bx\x00", "a fox", ""),
        ("👩\u200d🚀 moon", "👩\u200d🚀 moon", ""),
        ("👩🏽\u200d🎨 painting", "👩🏽\u200d🎨 painting", ""),
        (
            "🏴\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f flag",
            "🏴\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f flag",
            "",
        ),
        ("می\u200cخواهم یک سیب", "می\u200cخواهم یک سیب", ""),
        ("क्\u200dष", "क्\u200dष", ""),
        ("a\u200dp\u200cp\u00adle", "apple", ""),
        ("\u200cسیب\u200c \u200d🍎", "سیب 🍎", ""),
        ("hidden\U000e0068\U000e0069", "hidden", ""),
        ("a, --seed 3, b", "a, b", ""),
        ("a <:apple:123456789012345678> on a table", "a :apple: on a table", ""),
        ("a <a:party_cat:123456789012345678>!", "a :party_cat:!", ""),
        ("draw <@42|Bob Smith> in <#C1|general>", "draw @Bob Smith in general", ""),
        (
            "draw <@!123456789012345678>, <@&43|the team> <!here>",
            "draw @someone, @the team here",
            "",
        ),
        ("draw <@42|x --seed 5 {image: y}>", "draw @x seed 5 image y", ""),
        ("</imagine:123456789012345678> at <t:1618953630:R>", "imagine at", ""),
        ("a <3 b, x <lora:ink:1>", "a <3 b, x <lora:ink:1>", ""),
        ("a fox --no <:leaf:123456789012345678>, <@42|bob>", "a fox", ":leaf:, @bob"),
    ],
)
def test_prompt_and_negative(text: str, prompt: str, negative: str) -> None:
    request = asked(text)
    assert (request.prompt, request.negative_prompt) == (prompt, negative)


@pytest.mark.parametrize(
    ("text", "changes"),
    [
        ("x --seed 7", {"seed": 7}),
        ("x --SEED=7", {"seed": 7}),
        ("x —seed 7", {"seed": 7}),
        ("x －－seed 7", {"seed": 7}),
        ("x -- seed 7", {"seed": 7}),
        ("x — seed 7", {"seed": 7}),
        ("x －－ seed 7", {"seed": 7}),
        ("x – seed 7 — ar 1:1", {"seed": 7}),
        ("x -- steps 20 -- style sketch", {"steps": 20, "style": "sketch"}),
        ('x -- style "oil paint"', {"style": "oil paint"}),
        ("x -- private", {"private": True}),
        ("x ﹣﹣n 2", {"count": 2}),
        ("x --seed -1", {"seed": 99}),
        ("x --seed −1", {"seed": 99}),
        ("x -- seed -1", {"seed": 99}),
        ("--seed 4294967295 x", {"seed": MAX_SEED}),
        ("x --seed 1 --seed 2", {"seed": 2}),
        ("x --steps 20", {"steps": 20}),
        ("x --guidance 7.5", {"guidance_scale": 7.5}),
        ("x --cfg 7,5", {"guidance_scale": 7.5}),
        ("x --guidance 0", {"guidance_scale": 0.0}),
        ("x --ar 4:1", {"width": 128, "height": 32}),
        ("x --ar 1:1", {"width": 64, "height": 64}),
        ("x --size 96x32", {"width": 96, "height": 32}),
        ("x --size 128×128", {"width": 128, "height": 128}),
        ("x --count 4", {"count": 4}),
        ("x --n 2", {"count": 2}),
        ("x --style Sketch", {"style": "sketch"}),
        ('x --style "oil paint"', {"style": "oil paint"}),
        ("x --style “oil paint”", {"style": "oil paint"}),
        ("x --style « oil paint »", {"style": "oil paint"}),
        ("x --private", {"private": True}),
        ("x --private=no", {"private": False}),
        ("x --model='dream xl'", {"model": "Dream XL", "width": 1024, "height": 768, "steps": 30,
                                  "guidance_scale": 7.0, "scheduler": "euler_a"}),
    ],
)  # fmt: skip
def test_flags(text: str, changes: dict[str, Any]) -> None:
    assert asked(text) == replace(asked("x"), **changes)


def test_defaults_come_from_the_model_and_the_seed_from_outside() -> None:
    assert asked("x") == ImageRequest(
        prompt="x", model="tiny", width=64, height=64, steps=12, guidance_scale=3.0, seed=99
    )


def test_options_win_over_flags() -> None:
    options = {"seed": 5, "steps": 9, "guidance": 2.5, "aspect": "2:1", "count": 3,
               "style": "sketch", "model": "tiny", "private": True, "negative": "ice"}  # fmt: skip
    request = asked("x --seed 1 --steps 2 --count 1 --no rain", options=options)
    assert (request.seed, request.steps, request.guidance_scale, request.count) == (5, 9, 2.5, 3)
    assert (request.style, request.private, request.negative_prompt) == (
        "sketch",
        True,
        "ice, rain",
    )
    assert request.width == 2 * request.height or request.width > request.height


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "Say what I should draw"),
        ("\u200b \x00", "Say what I should draw"),
        ("--seed 4", "Say what I should draw"),
        ("(-hands)", "Say what I should draw"),
        ("x --sede 4", "I don't know --sede. Did you mean --seed?"),
        ("x —stesp 4", "I don't know --stesp. Did you mean --steps?"),
        ("x --qqqq 4", "I don't know --qqqq. I know --seed"),
        ("x --seed", "--seed needs a value, for example --seed 1234."),
        ("x --seed --steps 4", "--seed needs a value"),
        ("x --no", "--no needs a value, for example --no text, hands."),
        ('x --style ""', "--style needs a value"),
        ("x --seed -2", "--seed is a whole number from 0 to 4294967295"),
        ("x －－sede 7", "I don't know --sede. Did you mean --seed?"),
        ("x --seed 4294967296", "from 0 to 4294967295"),
        ("x --seed 1.5", "whole number"),
        ("x --seed 1_0", "whole number"),
        ("x --seed ٣", "whole number"),
        ("x --seed nan", "I can't use “nan”"),
        ("x --seed " + "9" * 5000, "whole number"),
        ("x --steps 0", "--steps is a whole number from 1 to 50"),
        ("x --steps 51", "from 1 to 50"),
        ("x --guidance 13", "--guidance is a number from 0 to 12"),
        ("x --guidance inf", "from 0 to 12"),
        ("x --count 5", "--count is a whole number from 1 to 4"),
        ("x --ar 5:1", "from 1:4 to 4:1"),
        ("x --ar 0:0", "from 1:4 to 4:1"),
        ("x --ar 33:32", "up to 32"),
        ("x --ar wide", "Write --ar 3:2 or --size 64x64"),
        ("x --ar 1:1.5", "Write --ar 3:2"),
        ("x --size 4096x64", "from 32 to 128 pixels"),
        ("x --size 65x65", "must divide by 8. The nearest is --size 64x64"),
        ("x --style skech", "no style “skech”. Did you mean “sketch”?"),
        ("x --style zzz", "These I have: sketch, oil paint"),
        ("x --model tinny", "Did you mean “tiny”?"),
        ("x --private=perhaps", "--private stands alone"),
        ("x --use edit", "there is none"),
        ("x --strength 0.5", "there is none"),
        ("x {image: }", "I can't read that link. Write it like this: {image: https://"),
        ("x {image: https://a/b", "I can't read that link"),
        (f"x {{image: {LINK}}} {{image: {LINK}}}", "One reference image at a time"),
        ("x" * 2001, "2000 characters"),
        ("x --no " + "y" * 2001, "2000 characters"),
        ("x" * 100_000, "2000 characters"),
    ],
)  # fmt: skip
def test_complaints_say_what_to_type(text: str, says: str) -> None:
    assert says in complained(text)


@pytest.mark.parametrize(
    "text", [f"a {{image: {LINK}}} b", f"a {{image {LINK}}} b", f"a {{Imagen:{LINK} }} b",
     f"a {{image: <{LINK}>}} b", f"a {{image:<{LINK}> }} b", f"a {{img <{LINK}>}} b"],
)  # fmt: skip
def test_links(text: str) -> None:
    request = asked(text)
    assert request.source == Linked(url=LINK)
    assert (request.prompt, request.use, request.strength) == ("a b", ReferenceUse.RESTYLE, 0.6)


def test_references() -> None:
    file = Attached(name="a.png", size_bytes=1, address="a")
    assert asked("x", reference=file).source is file
    masked = asked("x", reference=file, mask=PICTURE)
    assert (masked.use, masked.strength, masked.mask_source) == (ReferenceUse.EDIT, 1.0, PICTURE)
    assert asked("x --use edit", reference=file).use is ReferenceUse.EDIT
    assert asked("x --strength 60%", reference=file).strength == 0.6
    assert asked("x --strength 0,25", reference=file).strength == 0.25
    assert "above 0" in complained("x --strength 0", reference=file)
    assert "above 0" in complained("x --strength 101%", reference=file)
    assert "restyle or to edit" in complained("x --use mix", reference=file)
    assert "leave the mask out" in complained("x --use restyle", reference=file, mask=PICTURE)
    assert "there is none" in complained("x", mask=PICTURE)
    assert "One reference" in complained(f"x {{image: {LINK}}}", reference=file)


def test_a_style_whose_lora_is_for_another_model() -> None:
    inked = {"inked": StyleEntry(suffix=", ink", lora="ink")}
    loras = {"ink": LoraEntry(source="ink", models=("Dream XL",))}
    catalog = CATALOG.model_copy(update={"styles": inked, "loras": loras})
    refused = parse(raw("x --style inked"), catalog, default_model="tiny", random_seed=int)
    assert isinstance(refused, Complaint)
    words = say("en", refused.text, **refused.values)
    assert words == "The style “inked” is not for the model “tiny”. It is for: Dream XL."
    fits = parse(raw("x --style inked"), catalog, default_model="Dream XL", random_seed=int)
    assert isinstance(fits, ImageRequest)


def test_a_random_seed_as_an_option() -> None:
    assert asked("x", options={"seed": -1}).seed == 99


def test_values_are_shown_as_typed_whatever_they_hold() -> None:
    assert "“{x}%s”" in complained("x --style {x}%s")


def test_hint_only_when_no_name_is_in_the_prompt(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bot.core.names.builtin_names", lambda: {"en": ("apple", "red fox")})
    for text in ("Apples", "two red foxes", "des bateaux", "un ARBOL", "a --model 'Dream XL'"):
        assert hint(asked(text), CATALOG) is None, text
    for text in ("a fox that is red", "pineapple", "!!"):
        complaint = hint(asked(text), CATALOG)
        assert complaint is not None
        assert "2 things" in say("en", complaint.text, **complaint.values)


def test_suggestions_begin_with_what_was_typed(monkeypatch: pytest.MonkeyPatch) -> None:
    names = ("grape", "red apple", "apple", "arbre")
    monkeypatch.setattr("bot.core.names.builtin_names", lambda: {"fr": ("árbre",)})
    entry = ModelEntry(source="x", names=names)
    assert suggest_names("Ap", entry, "en") == ("apple", "red apple", "grape")
    assert suggest_names("", entry, "en", limit=2) == ("grape", "red apple")
    assert suggest_names("zz", entry, "en") == ()
    monkeypatch.setattr("bot.core.names.builtin_names", lambda: {"fr": ("arbre",)})
    assert suggest_names("", entry, "fr") == ("arbre",)


PIECES = st.sampled_from(
    ["--", "—", "–", "−", "-", "(", ")", "{", "}", "{image:", "{image ", LINK, "seed", "--seed 5",
     "--no", "--no a", "--ar 3:2", "--style", "sketch", "--private", '"', "'", "“", "”", "«", ",",
     " ", "\\", ":", "=", "%", "a", "red fox", "(x:1.3)", "(-b -c)", "\u200b", "\u202e", "\x00",
     "\n", "-- ", "－－", "— seed 7", "-- ar 3:2",
     "\u200d", "👩", "🎨", "می", "'a'", "<", ">", "É", "ß", "İ",
     "--size 96x32", "--strength 0.3", "--use edit"]
)  # fmt: skip
TEXTS = st.one_of(st.text(max_size=80), st.lists(PIECES, max_size=14).map("".join))


@settings(max_examples=300, deadline=None)
@given(text=TEXTS, negative=TEXTS, reference=st.sampled_from([None, PICTURE]))
def test_any_text_is_a_request_or_a_complaint_and_its_echo_asks_for_the_same(
    text: str, negative: str, reference: Kept | None
) -> None:
    result = parsed(text, options={"negative": negative}, reference=reference)
    if isinstance(result, Complaint):
        for locale in LOCALES:
            assert say(locale, result.text, **result.values)
        return
    result.prompt.encode()
    again = parsed(echo(result), reference=result.source)
    assert isinstance(again, ImageRequest), (echo(result), again)
    assert replace(again, source=None) == replace(result, source=None)


def test_a_model_brings_its_scheduler() -> None:
    assert asked("a fox").scheduler is None
    assert asked("a fox", options={"model": "Dream XL"}).scheduler == "euler_a"
