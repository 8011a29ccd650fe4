"""The networks between autoencoder and picture: text encoder, U-Net, schedule."""

import copy
from dataclasses import dataclass
from pathlib import Path

import torch
from diffusers import DDIMScheduler, UNet2DConditionModel
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from generation.builtin.dataset import encoded


@dataclass(frozen=True, kw_only=True)
class Shape:
    """The size of the networks. The defaults draw in half a second on two processor cores."""

    widths: tuple[int, ...] = (64, 128, 192, 256)  # of the U-Net, highest resolution first
    heads: int = 4  # of its attention, which all levels but the highest have
    text_width: int = 224
    text_layers: int = 3
    tokens: int = 48  # the text encoder's window, with start and end
    vae_width: int = 40


@dataclass(frozen=True, kw_only=True)
class Networks:
    """What reads and what draws, and the averaged copy that is drawn with."""

    tokenizer: CLIPTokenizer
    text: CLIPTextModel
    unet: UNet2DConditionModel
    smooth: UNet2DConditionModel

    def encode(self, captions: list[str]) -> torch.Tensor:
        """int64 [captions, tokens]"""
        return encoded(self.tokenizer, captions)


def new_scheduler() -> DDIMScheduler:
    """The schedule trained for, and the sampler that the finished folder names."""
    return DDIMScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        prediction_type="v_prediction",
        rescale_betas_zero_snr=True,
        timestep_spacing="trailing",
        steps_offset=1,
        clip_sample=False,
    )


def new_networks(tokenizer: CLIPTokenizer, latent_size: int, shape: Shape) -> Networks:
    """Untrained networks; `latent_size` is the side of the latents."""
    text = CLIPTextModel(
        CLIPTextConfig(
            vocab_size=len(tokenizer),
            hidden_size=shape.text_width,
            intermediate_size=4 * shape.text_width,
            projection_dim=shape.text_width,
            num_hidden_layers=shape.text_layers,
            num_attention_heads=4,
            max_position_embeddings=shape.tokens,
            hidden_act="gelu",
            bos_token_id=tokenizer.bos_token_id,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
    )
    lower = len(shape.widths) - 1
    unet = UNet2DConditionModel(
        sample_size=latent_size,
        block_out_channels=shape.widths,
        layers_per_block=1,
        down_block_types=("DownBlock2D", *("CrossAttnDownBlock2D",) * lower),
        up_block_types=(*("CrossAttnUpBlock2D",) * lower, "UpBlock2D"),
        cross_attention_dim=shape.text_width,
        attention_head_dim=shape.heads,
        norm_num_groups=16,
        resnet_time_scale_shift="scale_shift",
        addition_embed_type="text",
        addition_embed_type_num_heads=4,
    ).to(memory_format=torch.channels_last)
    return Networks(
        tokenizer=tokenizer,
        text=text,
        unet=unet,
        smooth=copy.deepcopy(unet).requires_grad_(False),
    )


def take_weights(networks: Networks, model: Path) -> None:
    """Copy the weights of a finished model's folder. Raises RuntimeError for another shape."""
    text = CLIPTextModel.from_pretrained(model / "text_encoder")
    unet = UNet2DConditionModel.from_pretrained(model / "unet")
    networks.text.load_state_dict(text.state_dict())
    for copied in (networks.unet, networks.smooth):
        copied.load_state_dict(unet.state_dict())
