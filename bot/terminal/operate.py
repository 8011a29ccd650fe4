"""What operators do: back up, restore, sweep, and ask a process how it is."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from bot.terminal.start import open_database, read_settings, ready_settings

PATIENCE_SECONDS = 10


def backup(
    file: Annotated[Path, typer.Argument(help="Tar file to write.", dir_okay=False)],
) -> None:
    """Save database and pictures to one file, while Easel runs."""
    from obstore.exceptions import BaseError as StoreError

    from storage import backup as archive
    from storage.blobs import open_blobs

    settings = read_settings()
    database = open_database(settings)
    try:
        report = archive.backup(database, open_blobs(settings), file)
    except FileExistsError:
        _stop(f"{file} is there already; choose another name.")
    except archive.Unfit as error:
        _stop(str(error))
    except OSError as error:
        _stop(f"{file} cannot be written: {error.strerror}.")
    except StoreError as error:
        _stop(f"EASEL_BLOB_URL: the pictures cannot be read ({type(error).__name__}).")
    finally:
        database.close()
    typer.echo(f"{report.rows} rows and {report.pictures} pictures are in {file}.")
    if report.missing:
        typer.echo(f"{report.missing} pictures were missing or damaged, and are not.", err=True)
        raise typer.Exit(1)


def restore(
    file: Annotated[Path, typer.Argument(help="A file of `easel backup`.", exists=True)],
    forgotten: Annotated[
        str, typer.Option(help="Pictures of another installation, whose list of people counts too.")
    ] = "",
) -> None:
    """Fill an empty installation from a backup; who asked to be forgotten since stays so."""
    from obstore.exceptions import BaseError as StoreError
    from sqlalchemy.exc import SQLAlchemyError

    from storage import forgotten as people
    from storage import private
    from storage import restore as restoring
    from storage.backup import Unfit
    from storage.blobs import Blobs, NotStored, open_blobs

    if forgotten and "://" not in forgotten and not Path(forgotten).is_dir():
        _stop(f"There is no folder {forgotten}, so nobody would be forgotten by its list.")
    settings = read_settings()
    private.make(settings.data_folder)
    database = open_database(settings)
    try:
        more = [people.read(Blobs(_url(forgotten)))] if forgotten else []
        report = restoring.restore(file, database, open_blobs(settings), *more)
    except Unfit as error:
        _stop(f"{error} Nothing was changed.")
    except (OSError, SQLAlchemyError, StoreError, NotStored) as error:
        words = error.strerror if isinstance(error, OSError) else None
        _stop(f"Restoring stopped ({words or type(error).__name__}). The database is as it was.")
    finally:
        database.close()
    typer.echo(
        f"{report.rows} rows and {report.pictures} pictures are back. "
        f"Asked to be forgotten since, and were: {report.forgotten}."
    )


def _url(place: str) -> str:
    return place if "://" in place else Path(place).absolute().as_uri()


def sweep() -> None:
    """Delete pictures that nothing refers to any more, and move those that a crash left in the
    wrong place. The chat client does this every hour."""
    from storage import sweep as sweeping
    from storage.blobs import open_blobs
    from storage.database import connect

    settings = ready_settings(for_prompts=False)
    database = connect(settings)
    typer.echo(f"Pictures deleted: {sweeping.sweep(database, open_blobs(settings))}")
    database.close()


def health() -> None:
    """Ask the process at EASEL_HEALTH_ADDRESS how it is: status 0 if it can do its work."""
    from storage.settings import host_and_port

    address = read_settings().health_address
    if not address:
        _stop("EASEL_HEALTH_ADDRESS is not set, so no process answers.")
    host, port = host_and_port(address)
    host = "127.0.0.1" if host == "0.0.0.0" else host  # noqa: S104 (where it listens)
    try:
        with urllib.request.urlopen(f"http://{host}:{port}/health", timeout=PATIENCE_SECONDS) as a:
            well, body = True, a.read()
    except urllib.error.HTTPError as error:
        with error:
            well, body = False, error.read()
    except OSError:
        typer.echo(f"Nothing answers at {address}.", err=True)
        raise typer.Exit(1) from None
    for part, words in json.loads(body)["checks"].items():
        typer.echo(f"{part}: {words}")
    raise typer.Exit(0 if well else 1)


def _stop(words: str) -> NoReturn:
    typer.echo(words, err=True)
    raise typer.Exit(2) from None
