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
    """Label and value of each. No server gives more than the operator's `daily_pictures`; channels
    are links as Discord and Slack both write them; `quote` makes a name harmless there."""
    quota = rules.quota(daily_pictures)
    where = ", ".join(f"<#{channel}>" for channel in rules.channels)
    model = quote(rules.default_model) if rules.default_model else say(locale, "The bot's own")
    day = say_n(locale, "{n} picture per person and day", "{n} pictures per person and day", quota)
    if (rules.daily_pictures or 0) > quota:
        more = rules.daily_pictures or 0
        day = f"{day} " + say(
            locale,
            "(you chose {chosen}; who runs me allows {most} at most)",
            chosen=more,
            most=quota,
        )
    state = say(locale, "Paused") if rules.paused else say(locale, "Open for requests")
    return (
        (say(locale, "State"), state),
        (say(locale, "Channels"), where or say(locale, "All")),
        (say(locale, "Default model"), model),
        (say(locale, "Quota"), day),
    )
