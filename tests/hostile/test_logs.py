"""What is logged of an exception: its kind and its place, never its words."""

import json
import subprocess
import sys

CANARY = "canary5309"
RAISES = f"""
import asyncio, logging, sys
sys.excepthook = lambda *_: None
from storage import logs
from storage.settings import Settings
import structlog

logs.configure(Settings(_env_file=None, data_folder="unused", log_level="DEBUG"))
log = structlog.get_logger("bot.test")

def fail(prompt):
    raise RuntimeError("cannot draw " + prompt)

def group(prompt):
    try:
        fail(prompt)
    except RuntimeError as error:
        raise ExceptionGroup(prompt, [error, OSError(28, prompt)]) from ValueError(prompt)

for act in (fail, group):
    try:
        act("{CANARY}")
    except Exception as error:
        log.exception("ours")
        logging.getLogger("discord.client").exception("of a library")
        log.error("given", exc_info=error)
        logs.crashed(error)

async def forgotten():
    asyncio.create_task(asyncio.to_thread(fail, "{CANARY}"))
    await asyncio.sleep(0.2)

asyncio.run(forgotten())
for name in ("sqlalchemy.engine", "discord.webhook.async_", "discord.http", "slack_sdk.web"):
    logging.getLogger(name).debug("Row %r", "{CANARY}")
logging.getLogger("bot.deliver").debug("ours at DEBUG")
"""


def said(script: str) -> str:
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


def test_exceptions_without_their_words() -> None:
    text = said(RAISES)
    events = [json.loads(line) for line in text.splitlines()]
    assert CANARY not in text
    told = [event["exception"] for event in events if "exception" in event]
    assert len(told) == 9
    assert all("RuntimeError" in words for words in told)
    assert sum("No space left on device" in words for words in told) == 4
    assert events[-1]["event"] == "ours at DEBUG"
    assert "Task exception was never retrieved" in [event["event"] for event in events]


def test_a_person_who_looks_sees_no_more() -> None:
    terminal = f"import sys; sys.stderr.isatty = lambda: True\n{RAISES}"
    text = said(terminal)
    assert CANARY not in text
    assert "RuntimeError at" in text
