"""What of a request cannot be done as it was asked. It is said beside the result.

Asked once, when the request is accepted, and stored with it: a card is made of the entry alone.
"""

import re
from collections.abc import Iterable, Iterator

import structlog

from bot.core.names import unknown_words
from bot.core.written import flags_with_gap
from storage.catalog import Catalog
from storage.domain import Complaint, ImageRequest
from storage.emoji import spoken
from storage.prompt import read

NAMED, SHOWN = 6, 40
"""Of many so many are named, each with so many characters."""
logger = structlog.get_logger()


def notes(request: ImageRequest, catalog: Catalog, locale: str) -> tuple[Complaint, ...]:
    """Names of things that can be drawn are in the person's language. A defect in here is logged,
    and keeps no picture from anybody."""
    try:
        return tuple(found(request, catalog, locale))
    except Exception as error:
        logger.error("notes.failed", error=type(error).__name__)
        return ()


def found(request: ImageRequest, catalog: Catalog, locale: str) -> Iterator[Complaint]:
    """The same, for who wants to hear of a defect."""
    yield from _of_catalog(request, catalog)
    prompt = read(spoken(request.prompt, "en"))
    readings = [prompt, read(request.negative_prompt)]
    if loras := _named(tag for reading in readings for tag in reading.loras):
        yield Complaint(
            text="LoRAs cannot be named in a prompt here, so I left this out: {signs}. Styles have "
            "them: --style.",
            values={"signs": loras},
        )
    if foreign := _named(sign for reading in readings for sign in reading.foreign):
        yield Complaint(
            text="These signs of other tools mean nothing here, so I left them out and kept the "
            "words: {signs}. For more weight write (word:1.2).",
            values={"signs": foreign},
        )
    if unweighed := _named(group for reading in readings for group in reading.unweighed):
        yield Complaint(
            text="I can't read these weights, so the words have none: {signs}. A weight is from 0 "
            "to 2, with a point: (word:1.3).",
            values={"signs": unweighed},
        )
    if capped := _named(group for reading in readings for group in reading.capped):
        yield Complaint(
            text="No weight is above 2, nor what nested weights come to. I took 2 for: {signs}.",
            values={"signs": capped},
        )
    if gapped := _named(flags_with_gap(request.prompt)):
        yield Complaint(
            text="I took this as words: {signs}. A flag has no gap after its dashes, for example "
            "--no text.",
            values={"signs": gapped},
        )
    unknown = unknown_words(request, catalog, locale, prompt)
    if unknown is not None:
        yield unknown


def _of_catalog(request: ImageRequest, catalog: Catalog) -> Iterator[Complaint]:
    model, style = catalog.models.get(request.model), request.style
    if style and style not in catalog.styles:
        yield Complaint(
            text="The style “{style}” is not here any more, so this was drawn without it.",
            values={"style": style},
        )
    elif style and not catalog.fits(style, request.model):
        yield Complaint(
            text="The style “{style}” is not for the model “{model}”, so its LoRA was left out.",
            values={"style": style, "model": request.model},
        )
    if model is None or model.hears_negative(request.guidance_scale):
        return
    unwanted = catalog.styled(request).negative_prompt
    if not unwanted:
        return
    values = {"model": request.model, "unwanted": _short(unwanted, 200)}
    if model.takes_negative:
        yield Complaint(
            text="With a guidance of 1 or less there is no negative prompt, so this was left out: "
            "{unwanted}.",
            values=values,
        )
    else:
        yield Complaint(
            text="The model “{model}” takes no negative prompt, so this was left out: {unwanted}.",
            values=values,
        )


def _named(signs: Iterable[str]) -> str:
    """The different ones, as they were typed."""
    found = list(dict.fromkeys(signs))
    more = ["…"] if len(found) > NAMED else []
    return ", ".join([*(_short(sign, SHOWN) for sign in found[:NAMED]), *more])


def _short(text: str, limit: int) -> str:
    flat = re.sub(r"\s+", " ", text)
    return flat if len(flat) <= limit else flat[: limit - 1] + "…"
