"""A real `easel worker` whose text encoder fails at one word, with the prompt in the message."""

import sys

from bot import cli
from generation.prompts import Embeddings, PromptEncoder

WORD = "explosive"
_encode = PromptEncoder.encode


def encode(self: PromptEncoder, prompt: str, negative_prompt: str, *, guided: bool) -> Embeddings:
    if WORD in prompt:
        raise RuntimeError(f"cannot encode {prompt!r} without {negative_prompt!r}")
    return _encode(self, prompt, negative_prompt, guided=guided)


if __name__ == "__main__":
    PromptEncoder.encode = encode  # type: ignore[method-assign]
    sys.argv = ["easel", "worker"]
    cli.main()
