"""What people typed is read as they typed it: it pings nobody, links nowhere and marks nothing."""

import itertools
import random
from uuid import UUID

import pytest

from bot.slack.blocks import card_blocks, summary
from bot.slack.words import escape, typed, words
from storage.domain import Button, Card, CardPicture, Complaint, Tone
from tests.fakes.slack_text import Reading, read
from tests.wire.slack_api import MESSAGE, check_blocks

JOINER = "\u2060"
PIECES = (
    "<!channel>",
    "<!here|here>",
    "<!everyone>",
    "<@U0BOB>",
    "<@U0BOB|bob>",
    "<#C0PICTURES|pictures>",
    "<!subteam^S012|@team>",
    "<!date^1392734382^{date}|now>",
    "@channel",
    "@here",
    "<https://evil.example|your bank>",
    "https://evil.example/a?b=1&c=2",
    "mailto:a@b.example",
    "<mailto:a@b.example|write>",
    "*bold*",
    "_italic_",
    "~gone~",
    "`code`",
    "```\nblock\n```",
    "> quote",
    ":boom:",
    "&lt;!channel&gt;",
    "&amp;lt;!channel&amp;gt;",
    "\u202e",
    "\u200b",
    "é".encode().decode("latin-1"),
    "👩‍👩‍👧",
    "{image: javascript:alert(1)}",
    "'; drop table requests; --",
    "{0} {name} %s %(x)s",
)


def hostile(count: int = 200) -> list[str]:
    """Each piece alone, then the same in pairs, long, and in each other's arms."""
    dice = random.Random(5)
    texts = [*PIECES, *("<" * 50, "&" * 3001, "<!channel>" * 500, "*" * 4000)]
    pairs = [a + b for a, b in itertools.product(PIECES, PIECES)]
    dice.shuffle(pairs)
    nested = [a.replace(">", f"|{b}>") for a, b in itertools.pairwise(PIECES) if ">" in a]
    return [*texts, *nested, *pairs][:count]


def a_card(text: str) -> Card:
    job = UUID(int=7)
    return Card(
        job_id=job,
        tone=Tone.DONE,
        title=text,
        text=text,
        fields=((text, text),),
        footer=text,
        pictures=(
            CardPicture(
                index=0, sha256="0" * 64, media_type="image/png", alt_text=text, size_bytes=1
            ),
        ),
        buttons=(Button(action="again", label=text or "x"),),
    )


def reading_of(text: str) -> Reading:
    card = a_card(text)
    blocks = card_blocks(card, ["F1"])
    check_blocks(blocks, MESSAGE)
    return read(summary(card), blocks)


@pytest.mark.parametrize("text", hostile())
def test_nothing_that_was_typed_means_anything(text: str) -> None:
    reading = reading_of(text)
    assert (reading.pings, reading.links) == ([], [])
    for sign in "*_~`@:":
        pieces = escape(text).split(sign)
        assert all(p.endswith(JOINER) for p in pieces[:-1])
        assert all(p.startswith(JOINER) for p in pieces[1:])
    assert not escape(text).startswith("&gt;"), "no quote"


@pytest.mark.parametrize("text", [t for t in hostile() if len(t) < 150])
def test_it_is_read_as_it_was_typed(text: str) -> None:
    read_back = reading_of(text).text.replace(JOINER, "")
    assert read_back.startswith(f"*{text}*\n{text}")


@pytest.mark.parametrize("text", hostile())
def test_complaints_quote_harmlessly(text: str) -> None:
    complaint = Complaint(text="I don't know {given}. Did you mean {nearest}?")
    quoted = Complaint(text=complaint.text, values={"given": text, "nearest": text})
    reading = read(words("en", quoted), [])
    assert (reading.pings, reading.links) == ([], [])


@pytest.mark.parametrize("limit", [1, 2, 5, 10, 100])
def test_no_entity_is_cut_in_half(limit: int) -> None:
    for start in range(6):
        cut = escape("x" * start + "<&>" * 100, limit)
        assert len(cut) <= limit
        rest = cut.replace("&amp;", "").replace("&lt;", "").replace("&gt;", "")
        assert "&" not in rest
        assert "<" not in rest


@pytest.mark.parametrize(
    ("sent", "meant"),
    [
        ("<@U0EASEL> a red apple", "a red apple"),
        ("hey <@U0EASEL|easel>, a fox &lt;3 &amp; co", "hey  , a fox <3 & co"),
        ("a fox {image: <https://i.imgur.com/a.png>}", "a fox {image: https://i.imgur.com/a.png}"),
        ("see <https://e.org/a|e.org/a>", "see https://e.org/a"),
        ("&amp;lt;", "&lt;"),
        ("a &lt;b&gt; c", "a <b> c"),
    ],
)
def test_what_slack_made_of_it_is_undone(sent: str, meant: str) -> None:
    assert typed(sent) == typed(sent, "U0EASEL") == meant


def test_who_else_is_mentioned_stays() -> None:
    sent = "<@U0EASEL> draw <@U0BOB> in <#C1|general>"
    assert typed(sent, "U0EASEL") == "draw <@U0BOB> in <#C1|general>"
