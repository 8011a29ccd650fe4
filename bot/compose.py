"""Wiring: settings become the parts that a process is made of."""

from bot.core.line import Line
from bot.core.text import TextRules
from bot.references import Fetcher
from storage import doorbell, migrate, private
from storage.blobs import open_blobs
from storage.catalog import load_catalog
from storage.database import Clock, connect, utc_now
from storage.settings import Settings


def build_line(settings: Settings, *, clock: Clock = utc_now) -> Line:
    """Everything on this side of the doorbell; a database without tables gets them.

    Raises what `load_catalog` raises, storage.migrate.Behind when the database has an older
    schema, and sqlalchemy.exc.OperationalError when it does not answer.
    """
    private.make(settings.data_folder)
    catalog = load_catalog(settings)
    database = connect(settings, clock)
    migrate.begin(database)
    return Line(
        settings=settings,
        catalog=catalog,
        database=database,
        blobs=open_blobs(settings),
        text_rules=TextRules.load(settings.text_rules),
        fetcher=Fetcher(hosts=settings.reference_hosts),
        doorbell=doorbell.create_app(settings, tuple(catalog.models)),
    )
