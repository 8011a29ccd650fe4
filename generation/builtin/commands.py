"""`easel train-builtin` and `evaluate-builtin`: how the embedded model is made and measured."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def train_builtin(
    work: Annotated[Path, typer.Option(help="Folder for data and checkpoints.")],
    out: Annotated[Path, typer.Option(help="Folder to write the finished model to.")],
    concepts: Annotated[int, typer.Option(help="How many names to learn.")] = 460,
    exposures: Annotated[int, typer.Option(help="How often each is to be seen.")] = 1000,
    minutes: Annotated[float | None, typer.Option(help="Train so long instead.")] = None,
    size: Annotated[int, typer.Option(help="Side of a picture in pixels.")] = 64,
    styles: Annotated[str, typer.Option(help="Comma-separated sets of drawings.")] = "noto",
    start: Annotated[
        Path | None, typer.Option(help="Train the model in this folder further.")
    ] = None,
    pairs: Annotated[float, typer.Option(help="Share of pictures that show two things.")] = 0.25,
    batch: Annotated[int, typer.Option(help="Samples in a step.")] = 32,
    widths: Annotated[str, typer.Option(help="U-Net channels of each level.")] = "64,128,192",
    tokens: Annotated[int, typer.Option(help="Window of the text encoder.")] = 40,
    workers: Annotated[int, typer.Option(help="Processes that prepare samples.")] = 0,
    seed: Annotated[int, typer.Option(help="Of everything random.")] = 0,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    session_minutes: Annotated[
        float | None, typer.Option(help="Stop after so long; the same command goes on later.")
    ] = None,
    shard_mib: Annotated[int | None, typer.Option(help="Largest weight file.")] = None,
) -> None:
    """Train the embedded model from nothing. Needs the extra `train`, and npm for the data."""
    from generation.builtin.train import train_builtin as train

    finished = train(
        out=out,
        work=work,
        minutes=minutes,
        exposures=exposures,
        concepts=concepts,
        size=size,
        seed=seed,
        device=device,
        styles=tuple(styles.split(",")),
        start=start,
        pairs=pairs,
        batch=batch,
        widths=tuple(int(width) for width in widths.split(",")),
        tokens=tokens,
        workers=workers,
        session_minutes=session_minutes,
        shard_mib=shard_mib,
    )
    raise typer.Exit(0 if finished else 75)


def evaluate_builtin(
    work: Annotated[Path, typer.Option(help="Folder for the drawings to compare with.")],
    model: Annotated[Path | None, typer.Option(help="Its folder; else the embedded one.")] = None,
    seed: Annotated[int, typer.Option(help="Of all prompts and pictures.")] = 0,
    output: Annotated[Path | None, typer.Option("-o", help="Also write the JSON here.")] = None,
) -> None:
    """Measure what the embedded model can do, each figure beside its control."""
    from generation.builtin import MODEL_FOLDER
    from generation.builtin.evaluate import evaluate_builtin as evaluate

    report = evaluate(model or MODEL_FOLDER, seed=seed, work=work, say=typer.echo)
    typer.echo(report.table())
    if output is not None:
        output.write_text(report.json(), encoding="utf-8")
