"""Weights by Easel's grammar, and embeddings equal to the pipeline's own."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from generation.pipeline import DiffusionModel
from generation.prompts import PromptEncoder, parse_weights
from tests.fakes.tiny_models import WINDOW

Load = Callable[[str], DiffusionModel]


@pytest.mark.parametrize(
    ("text", "pieces"),
    [
        ("", [("", 1.0)]),
        ("a red fox", [("a red fox", 1.0)]),
        ("a (red:1.3) fox", [("a ", 1.0), ("red", 1.3), (" fox", 1.0)]),
        ("(red fox:0)", [("red fox", 0.0)]),
        ("(a:.5)(b: 2 )", [("a", 0.5), ("b", 2.0)]),
        ("(at 12:30:1.5)", [("at 12:30", 1.5)]),
        ("(two\nlines:1.2)", [("two\nlines", 1.2)]),
        (r"(a \(b\):1.2)", [("a (b)", 1.2)]),
        (r"\(red:1.3\)", [("(red:1.3)", 1.0)]),
        (r"\(red:1.3)", [("(red:1.3)", 1.0)]),
        ("((red apple:1.4) fox:1.2)", [("red apple", 1.4 * 1.2), (" fox", 1.2)]),
        ("(a (b:0.5):0.5)", [("a ", 0.5), ("b", 0.25)]),
        ("(red apple:2.5)", [("red apple", 2.0)]),
        ("((red:1.8) fox:1.5)", [("red", 2.0), (" fox", 1.5)]),
        ("((a:3) b:0.5)", [("a", 1.5), (" b", 0.5)]),
        ("( a (b) c :1.1)", [(" a (b) c ", 1.1)]),
        ("(cat:-5)", [("cat", 1.0)]),
        ("(cat:nan)", [("cat", 1.0)]),
        ("(cat:999999999999)", [("cat", 2.0)]),
        ("(red:1,3) (blue:1e0)", [("red", 1.0), (" ", 1.0), ("blue", 1.0)]),
        ("a cat AND a dog BREAK snow", [("a cat, a dog, snow", 1.0)]),
        ("[a fox:a wolf:0.5] in snow", [("a fox, a wolf in snow", 1.0)]),
        ("a red apple <lora:ink:1>", [("a red apple ", 1.0)]),
        ("ap<lora:ink:1>ple", [("ap ple", 1.0)]),
        ("((red)) and ((blue:1.3))", [("red", 1.0), (" and ", 1.0), ("blue", 1.3)]),
    ],
)
def test_weights(text: str, pieces: list[tuple[str, float]]) -> None:
    assert parse_weights(text) == pieces


@pytest.mark.parametrize(
    "text",
    [
        "(red)", "(red:)", "(:1.3)", "( :1.3)", "(red:1.3", "red:1.3)",
        "(16:9)", "(at 12:30)", "SALT AND PEPPER", "[sic]", "[at 12:30]", ":-)", "(:", "(: 3)",
        "cat++", "(cat)++", "(red)1.3",
        '("a", "b").blend(0.5, 0.5)', '("a").and()', "cat.swap(dog)", "[red]", "{red:1.3}",
        "a <|endoftext|> b", "\\", "\\\\",
    ],
)  # fmt: skip
def test_anything_else_is_text(text: str) -> None:
    assert parse_weights(text) == [(text, 1.0)]


@given(st.text(alphabet="ab (:)\\.0123+-\n", max_size=40))
def test_nothing_is_lost(text: str) -> None:
    pieces = parse_weights(text)
    assert all(0 <= weight <= 2 for _, weight in pieces)
    letters = [c for c in text if c in "ab"]
    assert [c for piece, _ in pieces for c in piece if c in "ab"] == letters


def test_hostile_prompts_take_no_time() -> None:
    for text in (
        "(" * 6000,
        "(a" * 3000,
        "(" + ":1" * 3000,
        "(" + "\\" * 6000,
        "(a:1." * 1200,
        "(" * 3000 + ")" * 3000,
        "[a:" * 2000,
        "a AND " * 1000,
        "<lora:" * 1000,
    ):
        parse_weights(text)


def encoder_of(model: DiffusionModel) -> PromptEncoder:
    return model._prompts


def own(model: DiffusionModel, prompt: str, negative: str | None) -> Any:
    """The pipeline's own embeddings, in the order prompt, negative, pooled, pooled negative."""
    return model._base.encode_prompt(
        prompt,
        device=torch.device("cpu"),
        num_images_per_prompt=1,
        do_classifier_free_guidance=True,
        negative_prompt=negative,
    )


@pytest.mark.parametrize("family", ["sd15", "sd2", "sdxl"])
@pytest.mark.parametrize("prompt", ["a red fox", "", "RED  Apple :-) cat++", "a (red) fox"])
@pytest.mark.parametrize("negative", ["green tree", ""])
def test_plain_prompts_are_embedded_as_the_pipeline_does(
    family: str, prompt: str, negative: str, model_of: Load
) -> None:
    model = model_of(family)
    ours = encoder_of(model).encode(prompt, negative, guided=True)
    theirs = own(model, prompt, negative or None)
    assert torch.equal(ours.prompt_embeds, theirs[0])
    assert ours.negative_prompt_embeds is not None
    assert torch.equal(ours.negative_prompt_embeds, theirs[1])
    if family == "sdxl":
        assert ours.pooled_prompt_embeds is not None
        assert torch.equal(ours.pooled_prompt_embeds, theirs[2])
        assert ours.negative_pooled_prompt_embeds is not None
        assert torch.equal(ours.negative_pooled_prompt_embeds, theirs[3])
    else:
        assert ours.pooled_prompt_embeds is None


def test_the_embedded_model_too(builtin: DiffusionModel) -> None:
    ours = encoder_of(builtin).encode("red apple", "leaf", guided=True)
    theirs = own(builtin, "red apple", "leaf")
    assert torch.equal(ours.prompt_embeds, theirs[0])
    assert ours.negative_prompt_embeds is not None
    assert torch.equal(ours.negative_prompt_embeds, theirs[1])


def windows(embeddings: torch.Tensor) -> list[torch.Tensor]:
    return [embeddings[:, i : i + WINDOW] for i in range(0, embeddings.shape[1], WINDOW)]


@pytest.mark.parametrize("family", ["sd15", "sdxl"])
def test_long_prompts_are_chunks_side_by_side(family: str, model_of: Load) -> None:
    """Each chunk is what the pipeline makes of those words alone; the last words count too."""
    model = model_of(family)
    fits = WINDOW - 2
    prompt = " ".join(["fox"] * fits + ["tree"] * fits + ["apple"])
    both = encoder_of(model).encode(prompt, "red", guided=True)
    assert both.prompt_embeds.shape[1] == 3 * WINDOW
    for chunk, words in zip(
        windows(both.prompt_embeds), ("fox " * fits, "tree " * fits, "apple"), strict=True
    ):
        assert torch.allclose(chunk, own(model, words, None)[0], atol=1e-5)
    # The negative is as long: its words, then empty prompts.
    assert both.negative_prompt_embeds is not None
    negative = windows(both.negative_prompt_embeds)
    assert torch.allclose(negative[0], own(model, "red", None)[0], atol=1e-5)
    assert torch.allclose(negative[2], own(model, "", None)[0], atol=1e-5)
    if family == "sdxl":
        assert both.pooled_prompt_embeds is not None
        pooled = own(model, "fox " * fits, None)[2]
        assert torch.allclose(both.pooled_prompt_embeds, pooled, atol=1e-5)


def test_a_long_negative_lengthens_the_prompt(model_of: Load) -> None:
    both = encoder_of(model_of("sd15")).encode("fox", "tree " * 30, guided=True)
    assert both.negative_prompt_embeds is not None
    assert both.prompt_embeds.shape == both.negative_prompt_embeds.shape
    assert both.prompt_embeds.shape[1] == 2 * WINDOW
    alone = encoder_of(model_of("sd15")).encode("fox", "tree " * 30, guided=False)
    assert alone.prompt_embeds.shape[1] == WINDOW
    assert alone.negative_prompt_embeds is None
    assert alone.arguments().keys() == {"prompt_embeds"}


@pytest.mark.parametrize("family", ["sd15", "sd2", "sdxl"])
def test_weights_scale_the_words_they_are_on(family: str, model_of: Load) -> None:
    """Token 2 is "red"; the others stay as they are without the weight."""
    encode = encoder_of(model_of(family)).encode
    plain = encode("a red fox", "", guided=False).prompt_embeds
    nothing = encode("", "", guided=False).prompt_embeds
    for weight in (0.0, 0.5, 1.5, 2.0):
        heavy = encode(f"a (red:{weight}) fox", "", guided=False).prompt_embeds
        others = [index for index in range(WINDOW) if index != 2]
        assert torch.allclose(heavy[:, others], plain[:, others], atol=1e-5)
        expected = nothing[:, 2] + weight * (plain[:, 2] - nothing[:, 2])
        assert torch.allclose(heavy[:, 2], expected, atol=1e-5)
    assert torch.equal(encode("a (red:1.0) fox", "", guided=False).prompt_embeds, plain)
