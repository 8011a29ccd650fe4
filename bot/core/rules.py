"""The rules of a server or workspace, in words."""

from collections.abc import Callable

from bot.i18n import say, say_n
from storage.places import WorkspaceRules


def rows(
    locale: str,
    rules: WorkspaceRules,
    daily_pictures: int,
    quote: Callable[[str], str] = str,
) -> tuple[tuple[str, str], ...]:
    """Label and value of each. `daily_pictures` holds where the rules say nothing; channels are
    links as Discord and Slack both write them; `quote` makes a name harmless for the platform."""
    quota = daily_pictures if rules.daily_pictures is None else rules.daily_pictures
    where = ", ".join(f"<#{channel}>" for channel in rules.channels)
    model = quote(rules.default_model) if rules.default_model else say(locale, "The bot's own")
    day = say_n(locale, "{n} picture per person and day", "{n} pictures per person and day", quota)
    state = say(locale, "Paused") if rules.paused else say(locale, "Open for requests")
    return (
        (say(locale, "State"), state),
        (say(locale, "Channels"), where or say(locale, "All")),
        (say(locale, "Default model"), model),
        (say(locale, "Quota"), day),
    )
