"""`easel train-builtin` and `evaluate-builtin`: how the embedded model is made and measured."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def train_builtin(
    work: Annotated[Path, typer.Option(help="Folder for data and checkpoints.")],
    out: Annotated[Path, typer.Option(help="Folder to write the finished model to.")],
    minutes: Annotated[float | None, typer.Option(help="Train so long.")] = None,
    exposures: Annotated[int, typer.Option(help="Else show each name so often.")] = 3000,
    concepts: Annotated[int, typer.Option(help="How many names to learn, at most.")] = 1644,
    start: Annotated[
        Path | None, typer.Option(help="Train the model in this folder further.")
    ] = None,
    batch: Annotated[int, typer.Option(help="Samples in a step.")] = 64,
    workers: Annotated[int, typer.Option(help="Processes that prepare samples.")] = 0,
    seed: Annotated[int, typer.Option(help="Of everything random.")] = 0,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    session_minutes: Annotated[
        float | None, typer.Option(help="Stop after so long; the same command goes on later.")
    ] = None,
    shard_mib: Annotated[int | None, typer.Option(help="Largest weight file.")] = None,
) -> None:
    """Train the embedded model from nothing. Needs the extra `train`, and npm for the data."""
    from generation.builtin.train import Recipe
    from generation.builtin.train import train_builtin as train

    finished = train(
        Recipe(
            concepts=concepts,
            start=str(start) if start else None,
            batch=batch,
            seed=seed,
            minutes=minutes,
            exposures=exposures,
        ),
        out=out,
        work=work,
        device=device,
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
