"""Present: a log entry becomes the Card that one person reads in their language."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from uuid import UUID

from sqlalchemy.orm import Session

from bot.i18n import format_duration, mark, say, say_n
from storage import places, queue, usage
from storage.domain import (
    Button,
    Card,
    CardPicture,
    Decision,
    JobState,
    Subject,
    Tone,
    worst,
)
from storage.domain.job import FailureReason, Phase
from storage.domain.policy import FLOOR_RULES, Category
from storage.emoji import spoken
from storage.log import LogEntry, LoggedPicture

WORKER_SILENT_AFTER = timedelta(minutes=2)
ALT_TEXT_LIMIT = 900
"""Discord takes 1,024 characters as an attachment's description; the rest is for our words."""


@dataclass(frozen=True, kw_only=True)
class QueueView:
    """What a waiting person wants to know."""

    position: int
    estimate_seconds: float | None
    worker_alive: bool
    """Some worker that serves the model has answered within two minutes."""
    served: bool = True
    """One does so now."""


def queue_view(session: Session, entry: LogEntry, now: datetime) -> QueueView:
    first, model = entry.state is JobState.RUNNING, entry.request.model  # Its worker was lost.
    position = 1 if first else queue.position(session, entry.job_id)
    serving = served_models(session, now)[model]
    mean = usage.mean_device_seconds(session, model)
    estimate = mean * position / serving if mean is not None and serving else None
    silent = is_silent(bool(serving), entry.created_at, now)
    return QueueView(
        position=position,
        estimate_seconds=estimate,
        worker_alive=not silent,
        served=bool(serving),
    )


def served_models(session: Session, now: datetime) -> Counter[str]:
    """Models, and how many workers that serve each have answered of late."""
    workers = places.live_workers(session, now, WORKER_SILENT_AFTER)
    return Counter(model for worker in workers for model in worker.models)


def is_silent(served: bool, created_at: datetime, now: datetime) -> bool:
    """Whether a job has waited so long for a worker that its person should know."""
    return not served and now - created_at > WORKER_SILENT_AFTER


def present(entry: LogEntry, view: QueueView | None) -> Card:
    """The card of one request, as it stands. `view` is that of one which waits, also for a worker
    in place of one that was lost."""
    return replace(_present(entry, view), locale=entry.locale)


def taken_down(job_id: UUID) -> Card:
    """Of a message that has to go."""
    return Card(job_id=job_id, tone=Tone.DONE, title="", text="", removed=True)


def _present(entry: LogEntry, view: QueueView | None) -> Card:
    if entry.message_removed or not entry.user_id:
        return taken_down(entry.job_id)
    match entry.state:
        case JobState.WAITING:
            return _waiting(entry, view)
        case JobState.RUNNING:
            return _running(entry) if view is None else _waiting(entry, view)
        case JobState.MADE:
            return _made(entry)
        case JobState.REFUSED:
            return _refused(entry)
        case JobState.CANCELLED:
            return _end(entry, Tone.FAILED, say(entry.locale, "Cancelled."), "")
        case JobState.FAILED:
            return _failed(entry)


def _button(entry: LogEntry, action: str, picture: int | None = None) -> Button:
    label = say(entry.locale, BUTTON_LABELS[action])
    if picture is not None and len(entry.pictures) > 1:
        label = f"{label} {picture + 1}"
    return Button(action=action, label=label, picture=picture, danger=action == "delete")


BUTTON_LABELS = {
    "again": mark("Again"),
    "vary": mark("Vary"),
    "enlarge": mark("Enlarge"),
    "edit": mark("Edit prompt"),
    "details": mark("Details"),
    "cancel": mark("Cancel"),
    "delete": mark("Delete"),
    "report": mark("Report"),
}


WORKER_LOST = mark(
    "The worker that was drawing this stopped. Your request waits for another one, first in line."
)


def _waiting(entry: LogEntry, view: QueueView | None) -> Card:
    locale, lines = entry.locale, []
    if view is not None:
        if entry.state is JobState.RUNNING:
            lines.append(say(locale, WORKER_LOST))
        elif view.position > 1:
            lines.append(say(locale, "Number {position} in the queue.", position=view.position))
        elif view.served:
            lines.append(say(locale, "You are next."))
        elif view.worker_alive:
            lines.append(say(locale, "Your request waits for a worker that can draw it."))
        if not view.worker_alive:
            lines.append(
                say(
                    locale,
                    "No worker has answered for two minutes. Your request is kept and will be "
                    "drawn as soon as one is back.",
                )
            )
        elif view.estimate_seconds is not None and view.estimate_seconds >= 1:
            duration = format_duration(locale, view.estimate_seconds)
            lines.append(say(locale, "About {duration} to go.", duration=duration))
    return Card(
        job_id=entry.job_id,
        tone=Tone.WAITING,
        title=say(locale, "Waiting"),
        text="\n".join(lines),
        buttons=(_button(entry, "cancel"),),
    )


def _running(entry: LogEntry) -> Card:
    locale = entry.locale
    progress = None
    if entry.cancel_requested:
        text = say(locale, "Stopping…")
    elif entry.phase is Phase.LOADING:
        text = say(locale, "Loading the model “{model}”…", model=entry.request.model)
    elif entry.phase is Phase.FINISHING:
        text, progress = say(locale, "Finishing…"), 1.0
    else:
        progress = entry.step / entry.step_count if entry.step_count else 0.0
        text = _step(entry)
    return Card(
        job_id=entry.job_id,
        tone=Tone.WORKING,
        title=say(locale, "Drawing"),
        text=text,
        progress_0_1=progress,
        buttons=() if entry.cancel_requested else (_button(entry, "cancel"),),
    )


def _step(entry: LogEntry) -> str:
    """Of several pictures, which are drawn one after the other, the picture and its own step."""
    count = entry.request.count
    steps = entry.step_count // count
    if count == 1 or not steps:
        return say(entry.locale, "Step {step} of {steps}", step=entry.step, steps=entry.step_count)
    done = min(entry.step // steps, count - 1)
    return say(
        entry.locale,
        "Picture {picture} of {count}: step {step} of {steps}",
        picture=done + 1,
        count=count,
        step=entry.step - done * steps,
        steps=steps,
    )


def _made(entry: LogEntry) -> Card:
    locale = entry.locale
    visible = [p for p in entry.pictures if p.decision in (Decision.ALLOW, Decision.BLUR)]
    held = any(p.decision is Decision.HOLD for p in entry.pictures)
    notes = _missing_notes(entry, len(visible))
    buttons = [_button(entry, "again")]
    for picture in visible:
        buttons += [_button(entry, name, picture.index) for name in ("vary", "enlarge")]
    buttons += [_button(entry, name) for name in ("edit", "details", "delete", "report")]
    if not visible:
        buttons = [_button(entry, name) for name in ("edit", "details", "delete")]
    return Card(
        job_id=entry.job_id,
        tone=Tone.DONE if visible else Tone.REFUSED,
        # A prompt whose pictures were all refused is not repeated for everybody to read.
        title=shorten(_words(entry), 240) if visible else _unseen(entry, held),
        text="\n".join([*notes, *(_notes(entry) if visible else ())]),
        footer=say(
            locale, "{model} · seed {seed}", model=entry.request.model, seed=entry.request.seed
        ),
        pictures=tuple(_card_picture(entry, p) for p in visible),
        buttons=tuple(buttons),
    )


def _notes(entry: LogEntry) -> Iterator[str]:
    """What of the request could not be done as asked."""
    for note in entry.request.notes:
        yield say(entry.locale, note.text, **note.values)


def _words(entry: LogEntry) -> str:
    """The prompt for readers: an emoji's name, nobody's id."""
    return spoken(entry.request.prompt, entry.locale)


def _unseen(entry: LogEntry, held: bool) -> str:
    """The title of what is not shown."""
    if held:
        return say(entry.locale, "A moderator has to look first")
    return say(entry.locale, "Not drawn")


def _missing_notes(entry: LogEntry, visible: int) -> list[str]:
    locale, total = entry.locale, len(entry.pictures)
    held = sum(p.decision is Decision.HOLD for p in entry.pictures)
    blocked = sum(p.decision is Decision.BLOCK for p in entry.pictures)
    kept = sum(_is_kept_refused(entry, p) for p in entry.pictures)
    blocked -= kept
    notes = []
    if held and total == 1:
        notes.append(say(locale, "The picture waits for a moderator to look at it."))
    elif held:
        notes.append(
            say_n(
                locale,
                "{n} of {total} pictures waits for a moderator to look at it.",
                "{n} of {total} pictures wait for a moderator to look at them.",
                held,
                total=total,
            )
        )
    if blocked and total == 1:
        notes.append(say(locale, REFUSALS[Subject.OUTPUT]))
    elif blocked:
        notes.append(
            say_n(
                locale,
                "{n} of {total} pictures was refused by the safety check.",
                "{n} of {total} pictures were refused by the safety check.",
                blocked,
                total=total,
            )
        )
    if kept and total == 1:
        notes.append(say(locale, STAYS_REFUSED))
    elif kept:
        notes.append(
            say_n(
                locale,
                "{n} of {total} pictures was looked at by a moderator and stays refused.",
                "{n} of {total} pictures were looked at by a moderator and stay refused.",
                kept,
                total=total,
            )
        )
    if not visible and not held and not kept:
        if any(verdict.rule in FLOOR_RULES for _, verdict in entry.verdicts):
            return [say(locale, FLOOR)]
        notes.append(say(locale, CHANGE_IT))
    return notes


def _is_kept_refused(entry: LogEntry, picture: LoggedPicture) -> bool:
    """Held by the checkers, and by a moderator refused."""
    said = [v for index, v in entry.verdicts if index == picture.index]
    held = bool(said) and worst(said).decision is Decision.HOLD
    return held and picture.decision is Decision.BLOCK


FLOOR = mark("This is not drawn anywhere, and nobody can lift that.")
STAYS_REFUSED = mark("A moderator has looked at it, and it stays refused.")
CHANGE_IT = mark("Change the request and try again. Moderators can read in the log what was asked.")


def _card_picture(entry: LogEntry, picture: LoggedPicture) -> CardPicture:
    return CardPicture(
        index=picture.index,
        sha256=picture.sha256,
        media_type=picture.media_type,
        alt_text=alt_text(entry),
        size_bytes=picture.size_bytes,
        spoiler=picture.decision is Decision.BLUR,
    )


def alt_text(entry: LogEntry) -> str:
    prompt = shorten(_words(entry), ALT_TEXT_LIMIT)
    return say(entry.locale, "Picture drawn by a machine from the words: {prompt}", prompt=prompt)


REFUSALS = {
    Subject.PROMPT: mark("Your prompt was refused by the safety check."),
    Subject.NEGATIVE_PROMPT: mark("Your negative prompt was refused by the safety check."),
    Subject.REFERENCE: mark("Your reference image was refused by the safety check."),
    Subject.OUTPUT: mark("The picture was refused by the safety check."),
}
REASONS = {
    Category.SEXUAL: mark(
        "It is about nudity or sex. Describe people dressed, and nothing sexual."
    ),
    Category.SUGGESTIVE: mark("It is suggestive. Leave out what is meant to arouse."),
    Category.MINOR: mark(
        "It names a child or somebody young beside words that do not belong there. Leave out one "
        "or the other."
    ),
    Category.VIOLENCE: mark("It is about cruelty or gore. Leave out injuries and who is hurt."),
    Category.HATE: mark(
        "It has a sign or a word of hatred, or demeans a group of people. Leave that out."
    ),
    Category.SELF_HARM: mark(
        "It is about hurting oneself. Leave that out. If you think of it yourself, talk to "
        "somebody you trust, or call a helpline where you live."
    ),
    Category.WEAPONS: mark(
        "It is about making weapons or explosives. Leave out instructions and plans."
    ),
    Category.DRUGS: mark("It is about drugs. Leave out making, selling and taking them."),
    Category.TERROR: mark(
        "It is about terror. Leave out attacks, and the signs of who commits them."
    ),
    Category.REAL_PERSON: mark(
        "It names a real person beside words that do not belong there. Leave out one or the other."
    ),
    Category.PROTECTED_FIGURE: mark(
        "It names a figure that is somebody's own. Describe one that you invent."
    ),
    Category.LIVING_ARTIST: mark(
        "It asks for the style of an artist by name. Describe what the style looks like."
    ),
}
"""What a prompt is stopped for, and what to change. Never which word."""


def _refused(entry: LogEntry) -> Card:
    """By what was judged last: the reference, where the prompt had passed or was allowed."""
    locale = entry.locale
    verdicts = [verdict for _, verdict in entry.verdicts]
    if verdicts and verdicts[-1].subject is Subject.REFERENCE:
        verdicts = verdicts[-1:]
    decisive = worst(verdicts) if verdicts else None
    undecided = decisive is not None and decisive.decision is Decision.HOLD
    if undecided:
        text = say(locale, "The safety check could not decide.")
        if entry.held:
            text = say(locale, "The safety check could not decide, so a moderator will look at it.")
        elif entry.judged == "refuse":
            text = say(locale, STAYS_REFUSED)
    else:
        subject = decisive.subject if decisive else Subject.PROMPT
        text = f"{say(locale, REFUSALS[subject])}\n{say(locale, CHANGE_IT)}"
    if decisive is not None and decisive.rule in FLOOR_RULES:
        text = say(locale, FLOOR)
    elif decisive is not None and decisive.subject in (Subject.PROMPT, Subject.NEGATIVE_PROMPT):
        reason = Category.of(decisive.label)
        text = text if reason is None else f"{text}\n{say(locale, REASONS[reason])}"
    return _end(entry, Tone.REFUSED, _unseen(entry, undecided and entry.held), text)


FAILURES = {
    FailureReason.CRASHED: mark("The worker stopped several times while drawing this."),
    FailureReason.MODEL_UNAVAILABLE: mark("The model could not be loaded."),
    FailureReason.LORA_UNAVAILABLE: mark("What this style needs beside the model can't be loaded."),
    FailureReason.TOO_MANY_STEPS: mark("This model can't draw in so many steps."),
    FailureReason.OUT_OF_MEMORY: mark("This picture needs more memory than the worker has."),
    FailureReason.REFERENCE_MISSING: mark("The reference image is not there any more."),
    FailureReason.NOT_STORED: mark("The picture was drawn, but could not be stored."),
    FailureReason.BROKEN_PICTURE: mark("What the model drew came out broken, so it is not shown."),
    FailureReason.ERROR: mark("Something went wrong while drawing this."),
}

ADVICE = {
    FailureReason.CRASHED: mark("Try other settings, or ask who runs this bot to look."),
    FailureReason.MODEL_UNAVAILABLE: mark("Choose another model, or tell who runs this bot."),
    FailureReason.LORA_UNAVAILABLE: mark("Choose another style, or tell who runs this bot."),
    FailureReason.TOO_MANY_STEPS: mark("Ask for fewer, with --steps."),
    FailureReason.OUT_OF_MEMORY: mark("Ask for a smaller picture."),
    FailureReason.REFERENCE_MISSING: mark("Attach it again."),
    FailureReason.NOT_STORED: mark("Try again later, and tell who runs this bot."),
    FailureReason.BROKEN_PICTURE: mark(
        "Try other settings or another model, and tell who runs this bot."
    ),
    FailureReason.ERROR: mark("Try again; if it stays so, tell who runs this bot."),
}


def _failed(entry: LogEntry) -> Card:
    locale, reason = entry.locale, entry.failure or FailureReason.ERROR
    text = f"{say(locale, FAILURES[reason])} {say(locale, ADVICE[reason])}"
    return _end(entry, Tone.FAILED, say(locale, "Failed"), text)


def _end(entry: LogEntry, tone: Tone, title: str, text: str) -> Card:
    buttons = tuple(_button(entry, name) for name in ("again", "edit", "delete"))
    if entry.state is JobState.REFUSED:
        buttons = tuple(_button(entry, name) for name in ("edit", "delete"))
    return Card(
        job_id=entry.job_id,
        tone=tone,
        title=title,
        text=text,
        buttons=buttons,
    )


def shorten(text: str, limit: int) -> str:
    return text if len(text) <= limit else text[: limit - 1].rstrip() + "…"
