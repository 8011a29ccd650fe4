"""What people typed reaches Discord as they typed it, and does nothing there."""

import discord
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bot.discord.words import clip, escape, words
from storage.domain import Complaint

SYNTAX = ["**a**", "_a_", "~~a~~", "||a||", "`a`", "> a", "# a", "- a", "1. a", "[a](b)", "<@1>"]


@pytest.mark.parametrize("text", SYNTAX)
def test_markdown_is_shown_not_rendered(text: str) -> None:
    assert escape(text) != text


@pytest.mark.parametrize("text", ["a red apple", "a (red:1.3) apple, 3:2", "snow-white, 50%"])
def test_plain_words_stay_as_they_are(text: str) -> None:
    assert escape(text) == text


@given(st.text(max_size=200))
def test_nobody_is_mentioned(text: str) -> None:
    escaped = escape(text)
    for mention in ("@everyone", "@here"):
        assert mention not in escaped
    # What is left of a mention has a backslash before its bracket.
    assert not any(escaped[max(0, i - 1)] != "\\" for i, sign in enumerate(escaped) if sign == "<")


@given(st.text(max_size=200))
def test_nothing_is_lost(text: str) -> None:
    shown = discord.utils.remove_markdown(escape(text)) if not text.strip() else escape(text)
    assert sum(sign.isalnum() for sign in shown) == sum(sign.isalnum() for sign in text)


@given(st.text(max_size=300), st.integers(min_value=1, max_value=50))
def test_clipped_text_fits_and_ends_no_escape(text: str, limit: int) -> None:
    clipped = clip(escape(text), limit)
    assert len(clipped) <= limit
    if len(escape(text)) > limit:
        assert not clipped.removesuffix("…").endswith("\\")


def test_complaints_quote_harmlessly() -> None:
    complaint = Complaint(
        text="I have no model “{given}”. These I have: {channels}.",
        values={"given": "**@everyone**", "channels": "<#1>"},
    )
    text = words("en", complaint)
    assert "@everyone" not in text
    assert "**" not in text.replace("\\*\\*", "")
    assert "<#1>" in text
