"""`easel` in a shell: what it writes, prints and exits with."""

import csv
import io
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import psutil
import pytest
from click.testing import Result
from PIL import Image
from typer.testing import CliRunner

from bot.cli import app
from storage import jobs, leases, migrate, review
from storage.blobs import open_blobs
from storage.database import Database, connect
from storage.domain import Decision, ReviewKind
from storage.settings import Settings
from tests.conftest import make_settings
from tests.fakes.nouns import FakeClock, a_request, made, recorded

pytestmark = pytest.mark.filterwarnings("ignore::ResourceWarning")
