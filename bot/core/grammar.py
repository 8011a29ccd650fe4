"""Parse: one grammar for all platforms, from a RawCommand to an ImageRequest or a Complaint."""

import re
from collections.abc import Callable, Mapping

from bot.core import values
from bot.core.values import Wrong
from bot.core.written import MAX_PROMPT_CHARACTERS as MAX_PROMPT_CHARACTERS
from bot.core.written import MAX_TEXT_CHARACTERS, Written, clean, read, terms, too_long
from bot.i18n import mark
from storage.catalog import Catalog
from storage.domain import Complaint, ImageRequest, Linked, RawCommand, ReferenceUse, Source

MAX_SEED = 2**32 - 1
MAX_COUNT = 4
RESTYLE_STRENGTH = 0.6
EDIT_STRENGTH = 1.0
"""What is repainted need not look like what was there."""

UNKNOWN_MODEL = (
    mark("I have no model “{given}”. Did you mean “{nearest}”?"),
    mark("I have no model “{given}”. These I have: {known}."),
)
UNKNOWN_STYLE = (
    mark("I have no style “{given}”. Did you mean “{nearest}”?"),
    mark("I have no style “{given}”. These I have: {known}."),
)


def parse(
    raw: RawCommand,
    catalog: Catalog,
    *,
    default_model: str,
    random_seed: Callable[[], int],
) -> ImageRequest | Complaint:
    """Make every choice that a command leaves open, or say what to type instead.

    `default_model` is a name of the catalog. Raises nothing, whatever was typed.
    """
    written = read(raw.text, [*catalog.models, *catalog.styles])
    if isinstance(written, Complaint):
        return written
    try:
        return _request(raw, written, catalog, default_model, random_seed)
    except Wrong as wrong:
        return wrong.complaint


def echo(request: ImageRequest) -> str:
    """The text that asks for the same picture again, references apart: hand those to `parse` as
    `reference` and `mask` of the RawCommand, or it asks for them."""
    flags = {
        "no": request.negative_prompt,
        "model": _quoted(request.model),
        "style": _quoted(request.style or ""),
        "size": f"{request.width}x{request.height}",
        "steps": str(request.steps),
        "guidance": _plain(request.guidance_scale),
        "seed": str(request.seed),
        "count": str(request.count) if request.count > 1 else "",
        "use": request.use or "",
        "strength": _plain(request.strength) if request.use else "",
    }
    shown = [f"--{flag} {value}" for flag, value in flags.items() if value]
    return " ".join([request.prompt, *shown, *(["--private"] if request.private else [])])


def _request(
    raw: RawCommand,
    written: Written,
    catalog: Catalog,
    default_model: str,
    random_seed: Callable[[], int],
) -> ImageRequest:
    if any(len(str(value)) > MAX_TEXT_CHARACTERS for value in raw.options.values()):
        raise Wrong(too_long())
    options: dict[str, str] = written.options | {
        name: clean(str(value)) for name, value in raw.options.items() if str(value).strip()
    }
    negative = _negative(written.negatives, str(raw.options.get("negative", "")))
    if not written.prompt:
        raise Wrong(Complaint(text="Say what I should draw, for example: a red fox in the snow."))
    if max(len(written.prompt), len(negative)) > MAX_PROMPT_CHARACTERS:
        raise Wrong(too_long())
    model = values.known(options.get("model"), catalog.models, UNKNOWN_MODEL) or default_model
    entry = catalog.models[model]
    style = values.known(options.get("style"), catalog.styles, UNKNOWN_STYLE)
    if style is not None and not catalog.fits(style, model):
        fitting = [name for name in catalog.models if catalog.fits(style, name)]
        raise Wrong(
            Complaint(
                text="The style “{style}” is not for the model “{model}”. It is for: {fitting}.",
                values={"style": style, "model": model, "fitting": ", ".join(fitting)},
            )
        )
    width, height = values.size(options.get("aspect"), entry)
    source, use, strength = _reference(raw, written, options)
    seed = values.seed(options, MAX_SEED)
    return ImageRequest(
        prompt=written.prompt,
        negative_prompt=negative,
        model=model,
        style=style,
        width=width,
        height=height,
        own_size="aspect" in options,
        steps=values.whole(options, "steps", 1, entry.max_steps) or entry.steps,
        guidance_scale=values.guidance(options, entry),
        scheduler=entry.scheduler,
        seed=random_seed() % (MAX_SEED + 1) if seed is None else seed,
        count=values.whole(options, "count", 1, MAX_COUNT) or 1,
        private=values.yes(options.get("private", "no")),
        source=source,
        mask_source=raw.mask if source else None,
        use=use,
        strength=strength,
        parent_sha256=None if _drops_reference(options) else raw.parent_sha256,
    )


def _negative(written: list[str], option: str) -> str:
    """All that is to be left out, each term once, in the order in which it was said."""
    said: dict[str, str] = {}
    for text in (option, *written):
        for term in terms(text):
            said.setdefault(term.casefold(), term)
    return ", ".join(said.values())


def _reference(
    raw: RawCommand, written: Written, options: Mapping[str, str]
) -> tuple[Source | None, ReferenceUse | None, float]:
    """Where the reference is to be had, what it is for, and how far the picture may leave it."""
    if _drops_reference(options):
        return None, None, RESTYLE_STRENGTH
    sources = [Linked(url=url) for url in written.links]
    given: list[Source] = [*([raw.reference] if raw.reference else []), *sources]
    if len(given) > 1:
        raise Wrong(
            Complaint(
                text="One reference image at a time, please: attach one picture or give one link."
            )
        )
    if not given:
        if raw.mask or "use" in options or "strength" in options:
            raise Wrong(
                Complaint(
                    text="Mask, use and strength are about a reference image, and there is none. "
                    "Attach a picture, or write {{image: https://…}} in the prompt."
                )
            )
        return None, None, RESTYLE_STRENGTH
    use = values.use(options.get("use"), masked=raw.mask is not None)
    default = EDIT_STRENGTH if use is ReferenceUse.EDIT else RESTYLE_STRENGTH
    return given[0], use, values.strength(options.get("strength"), default)


def _drops_reference(options: Mapping[str, str]) -> bool:
    return options.get("use", "").lower() in values.NO_USE


def _quoted(name: str) -> str:
    quote = "'" if '"' in name else '"'
    return f"{quote}{name}{quote}" if re.search(r"[\s\"']", name) else name


def _plain(number: float) -> str:
    return f"{number:.4f}".rstrip("0").rstrip(".")
