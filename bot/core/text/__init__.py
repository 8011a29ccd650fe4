"""What the words of a prompt say, and whether it may be drawn."""

from bot.core.text.check import MAX_CHARACTERS, SEXUAL, check_text
from bot.core.text.rules import TextRules

__all__ = ["MAX_CHARACTERS", "SEXUAL", "TextRules", "check_text"]
