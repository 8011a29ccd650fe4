"""Details: everything worth knowing of one request, in words."""

from bot.i18n import format_duration, mark, say
from storage.domain import Mode
from storage.log import LogEntry

MODES = {
    Mode.TEXT_TO_IMAGE: mark("from text"),
    Mode.IMAGE_TO_IMAGE: mark("from a reference image"),
    Mode.INPAINT: mark("edit of a reference image"),
}


def details(entry: LogEntry, locale: str) -> tuple[tuple[str, str], ...]:
    """Label and value of everything worth knowing, for *Details* and `easel log show`."""
    request = entry.request
    rows = [
        (say(locale, "Prompt"), request.prompt),
        (say(locale, "Negative prompt"), request.negative_prompt),
        (say(locale, "Model"), f"{request.model} {entry.model_revision}".strip()),
        (say(locale, "Style"), request.style or ""),
        (say(locale, "Seed"), ", ".join(str(request.seed + n) for n in range(request.count))),
        (say(locale, "Steps"), str(request.steps)),
        (say(locale, "Guidance scale"), f"{request.guidance_scale:g}"),
        (say(locale, "Size"), f"{request.width}×{request.height}"),
        (say(locale, "Drawn"), say(locale, MODES[request.mode])),
        (say(locale, "Strength"), f"{request.strength:g}" if request.reference else ""),
        (say(locale, "Waited"), format_duration(locale, entry.queue_seconds)),
        (say(locale, "Drawing time"), format_duration(locale, entry.device_seconds)),
    ]
    if request.count > 1:
        rows.insert(5, (say(locale, "Pictures"), str(request.count)))
    return tuple((label, value) for label, value in rows if value)
