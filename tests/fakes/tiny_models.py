"""Tiny folders of the real classes, one for each kind of model that Easel draws with.

Random weights, seeded; the pictures mean nothing, but every tensor goes where it would go.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from diffusers import (
    AutoencoderKL,
    DDIMScheduler,
    EulerAncestralDiscreteScheduler,
    EulerDiscreteScheduler,
    LatentConsistencyModelPipeline,
    LCMScheduler,
    PNDMScheduler,
    StableDiffusionPipeline,
    StableDiffusionXLPipeline,
    UNet2DConditionModel,
)
from diffusers.pipelines.stable_diffusion import StableDiffusionSafetyChecker
from peft import LoraConfig
from peft.utils import get_peft_model_state_dict
from tokenizers.pre_tokenizers import ByteLevel
from transformers import (
    CLIPConfig,
    CLIPImageProcessor,
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTextModelWithProjection,
    CLIPTokenizer,
    CLIPVisionConfig,
    ViTConfig,
    ViTForImageClassification,
    ViTImageProcessor,
)

SIZE = 64
WINDOW = 24
"""Tokens that the text encoders see, start and end included."""
WIDTH = 32
_WORDS = ("green", "tree", "red", "apple", "fox", "a", "and")
"""One token each. Earlier merges win, so a word comes before those that begin inside it."""


def tokenizer(pad_token: str = "<|endoftext|>") -> CLIPTokenizer:
    """Bytes, and a merge chain for each of a few words."""
    letters = sorted(ByteLevel.alphabet())
    tokens = letters + [letter + "</w>" for letter in letters]
    merges: list[Any] = []
    for word in _WORDS:
        parts = [*word[:-1], word[-1] + "</w>"]
        while len(parts) > 1:
            merges.append((parts[0], parts[1]))
            parts = [parts[0] + parts[1], *parts[2:]]
            tokens.append(parts[0])
    tokens += ["<|startoftext|>", "<|endoftext|>"]
    vocab = {token: index for index, token in enumerate(dict.fromkeys(tokens))}
    return CLIPTokenizer(
        vocab=vocab,
        merges=merges,
        pad_token=pad_token,
        model_max_length=WINDOW,
    )


def _text_encoder(tokens: CLIPTokenizer, kind: type[Any] = CLIPTextModel, **more: Any) -> Any:
    return kind(
        CLIPTextConfig(
            vocab_size=len(tokens),
            max_position_embeddings=WINDOW,
            hidden_size=WIDTH,
            intermediate_size=37,
            num_attention_heads=4,
            num_hidden_layers=3,
            projection_dim=WIDTH,
            bos_token_id=tokens.bos_token_id,
            eos_token_id=tokens.eos_token_id,
            pad_token_id=tokens.pad_token_id,
            **more,
        )
    )


def _unet(**more: Any) -> UNet2DConditionModel:
    settings: dict[str, Any] = {
        "block_out_channels": (32, 64),
        "layers_per_block": 1,
        "sample_size": SIZE // 2,
        "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D"),
        "up_block_types": ("CrossAttnUpBlock2D", "UpBlock2D"),
        "cross_attention_dim": WIDTH,
        "attention_head_dim": 2,
        "norm_num_groups": 8,
    }
    return UNet2DConditionModel(**{**settings, **more})


def _vae() -> AutoencoderKL:
    return AutoencoderKL(
        block_out_channels=(16, 32),
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        latent_channels=4,
        norm_num_groups=8,
        sample_size=SIZE,
    )


_BETAS: Mapping[str, Any] = {
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "beta_schedule": "scaled_linear",
    "steps_offset": 1,
}


def _single(kind: type[Any], scheduler: Any, tokens: CLIPTokenizer, **unet: Any) -> Any:
    return kind(
        vae=_vae(),
        text_encoder=_text_encoder(tokens),
        tokenizer=tokens,
        unet=_unet(**unet),
        scheduler=scheduler,
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )


def _xl(scheduler: Any) -> StableDiffusionXLPipeline:
    first, second = tokenizer(), tokenizer(pad_token="!")
    return StableDiffusionXLPipeline(
        vae=_vae(),
        text_encoder=_text_encoder(first),
        text_encoder_2=_text_encoder(second, CLIPTextModelWithProjection, hidden_act="gelu"),
        tokenizer=first,
        tokenizer_2=second,
        unet=_unet(
            cross_attention_dim=2 * WIDTH,
            attention_head_dim=(2, 4),
            use_linear_projection=True,
            addition_embed_type="text_time",
            addition_time_embed_dim=8,
            transformer_layers_per_block=(1, 2),
            projection_class_embeddings_input_dim=6 * 8 + WIDTH,
        ),
        scheduler=scheduler,
        add_watermarker=False,
    )


def sd15() -> Any:
    return _single(
        StableDiffusionPipeline, PNDMScheduler(skip_prk_steps=True, **_BETAS), tokenizer()
    )


def sd2() -> Any:
    return _single(
        StableDiffusionPipeline,
        DDIMScheduler(prediction_type="v_prediction", clip_sample=False, **_BETAS),
        tokenizer(pad_token="!"),
        attention_head_dim=(2, 4),
        use_linear_projection=True,
    )


def sdxl() -> Any:
    return _xl(EulerDiscreteScheduler(**_BETAS))


def turbo() -> Any:
    return _xl(EulerAncestralDiscreteScheduler(timestep_spacing="trailing", **_BETAS))


def lcm() -> Any:
    return _single(
        LatentConsistencyModelPipeline,
        LCMScheduler(**{**_BETAS, "steps_offset": 1}),
        tokenizer(),
        time_cond_proj_dim=32,
    )


FAMILIES: Mapping[str, Callable[[], Any]] = {
    "sd15": sd15,
    "sd2": sd2,
    "sdxl": sdxl,
    "turbo": turbo,
    "lcm": lcm,
}


def build_model(family: str, folder: Path) -> Path:
    torch.manual_seed(7)
    FAMILIES[family]().save_pretrained(folder)
    return folder


def build_lora(family: str, file: Path, *, seed: int = 3) -> Path:
    """A LoRA on the attention of the U-Net and of the (first) text encoder."""
    torch.manual_seed(seed)
    pipeline = FAMILIES[family]()
    # The down-projection is random and the up-projection zero; this makes it do something.
    unet_config = LoraConfig(
        r=4, target_modules=["to_q", "to_v"], init_lora_weights=False, lora_alpha=64
    )
    text_config = LoraConfig(
        r=4, target_modules=["q_proj", "v_proj"], init_lora_weights=False, lora_alpha=64
    )
    pipeline.unet.add_adapter(unet_config)
    pipeline.text_encoder.add_adapter(text_config)
    type(pipeline).save_lora_weights(
        file.parent,
        unet_lora_layers=get_peft_model_state_dict(pipeline.unet),
        text_encoder_lora_layers=get_peft_model_state_dict(pipeline.text_encoder),
        weight_name=file.name,
    )
    return file


def build_safety_checker(folder: Path) -> Path:
    """diffusers' checker with concepts at random; tests set thresholds through its weights."""
    torch.manual_seed(11)
    vision = CLIPVisionConfig(
        hidden_size=WIDTH,
        intermediate_size=37,
        num_attention_heads=4,
        num_hidden_layers=2,
        image_size=32,
        patch_size=8,
        projection_dim=WIDTH,
    )
    checker = StableDiffusionSafetyChecker(
        CLIPConfig(vision_config=vision.to_dict(), projection_dim=WIDTH)
    )
    for name in ("concept_embeds", "special_care_embeds"):
        getattr(checker, name).data.normal_()
    checker.concept_embeds_weights.data.fill_(0.3)
    checker.special_care_embeds_weights.data.fill_(0.3)
    checker.save_pretrained(folder)
    CLIPImageProcessor(size={"shortest_edge": 32}, crop_size=32).save_pretrained(folder)
    return folder


def build_classifier(folder: Path, *, labels: tuple[str, ...], multi_label: bool = False) -> Path:
    torch.manual_seed(13)
    model = ViTForImageClassification(
        ViTConfig(
            hidden_size=WIDTH,
            intermediate_size=37,
            num_attention_heads=4,
            num_hidden_layers=2,
            image_size=32,
            patch_size=8,
            id2label=dict(enumerate(labels)),
            label2id={label: index for index, label in enumerate(labels)},
            problem_type="multi_label_classification" if multi_label else None,
        )
    )
    model.save_pretrained(folder)
    ViTImageProcessor(size={"height": 32, "width": 32}).save_pretrained(folder)
    return folder
