"""Keeps the model libraries from talking; imported before anything else of theirs.

Their warnings quote prompts ("the following part of your input was truncated"), and a worker's
output is nobody's place to read what people ask for. Errors still arrive, as exceptions.
"""

import warnings

import diffusers
import transformers

for _library in (diffusers, transformers):
    _library.logging.set_verbosity_error()
    _library.logging.disable_progress_bar()

# peft, on the second LoRA of a model: several side by side are what is wanted here.
warnings.filterwarnings("ignore", "Already found a `peft_config`", UserWarning)
