"""Prompts of people who mean harm, through accept, the card, the shell's log and the sampler.

What Discord would do with a card is asked of a reading of its markup: signs after a backslash
mean nothing, all others do.
"""

# ruff: noqa: E501 (a table)
import asyncio
import io
import itertools
import re
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

from rich.console import Console
from rich.table import Table

from bot.compose import build_line
from bot.core.details import details
from bot.core.grammar import echo
from bot.core.line import Line
from bot.core.present import present
from bot.discord.show import Content
from bot.discord.words import words
from bot.i18n import LOCALES, say
from bot.terminal.logs import as_json
from generation.prompts import parse_weights
from storage import log
from storage.domain import Complaint, EventKey, Place, Platform, RawCommand, Requester
from tests.conftest import make_settings
from tests.fakes.painter import Painter
from tests.hostile.measuring import Result, measured, report

ZALGO = "".join(map(chr, range(0x0300, 0x036F)))
RTL, LRO, PDF, ISOLATE, ZWSP, ZWJ, BOM = "\u202e\u202d\u202c\u2068\u200b\u200d\ufeff"
TAGS = "".join(chr(0xE0000 + ord(c)) for c in "@everyone")


def _mentions() -> Iterator[str]:
    targets = ("@everyone", "@here", "<@1>", "<@!1>", "<@&1>", "<#1>", "</imagine:1>", "<:a:1>",
               "<a:b:1>", "<t:0:R>", "<id:browse>", "<sound:1:1>", "<!channel>", "<!here>",
               "<!subteam^S1>", "<@U1|everybody>", "<mailto:a@b.c>", "<tel:+123>")  # fmt: skip
    yield from (f"a cat {target} in the snow" for target in targets)
    yield from (target * 40 for target in targets[:6])
    yield from (f"\\{target}" for target in targets[:6])
    yield from (f"@{invisible}everyone" for invisible in (ZWSP, ZWJ, BOM, RTL, "\u00ad", "\0"))
    yield from ("@ever\u200byone", "＠everyone", "<＠1>", "@everyοne", "@\neveryone", TAGS)
    yield "`<@1>` ```@everyone``` ||@here||"


def _markup() -> Iterator[str]:
    yield from ("**bold**", "__under__", "*i* _i_", "~~gone~~", "||hidden||", "`code`", "```\ncode",
                "> quote", ">>> quote", "# head", "### head", "-# small", "- item", "1. item",
                "* item", "+ item", "***", "___", "\\", "\\\\", "\\*", "\\\\*bold\\\\*",
                "[here](http://evil.example)", "[here](<http://evil.example>)",
                "[https://good.example](https://evil.example)", "[a]\n(http://evil.example)",
                "[a][b] [b]: http://evil.example", "![a](http://evil.example/a.png)",
                "http://evil.example", "hTTps://evil.example", "discord://-/channels/1",
                "steam://run/1", "https:\\\\evil.example", "http:/\\/evil.example",
                "https\u200b://evil.example", "<https://evil.example>", "discord.gg/evil",
                "javascript:alert(1)", "a" * 255 + "*b*", "a" * 254 + "\\*b", "a" * 255 + "@everyone",
                "*" * 600, "\\" * 601, "<" * 600, "@" * 600)  # fmt: skip


def _characters() -> Iterator[str]:
    yield from (f"a {sign}cat{sign}" for sign in (RTL, LRO, PDF, ISOLATE, ZWSP, ZWJ, BOM, "\u061c"))
    yield from (RTL * 500 + "cat", "cat" + ZWSP * 3000, ZWJ.join("cat") * 50, "\ufe0f" * 500)
    yield from ("a" + ZALGO, ZALGO * 15, "a" + "\u0301" * 1900, "".join(c + ZALGO for c in "a cat"))
    yield from ("a\0cat", "\0" * 999, "\x1b[31mred\x1b[0m", "\x1b]0;title\x07", "\x1b[2J\x1b[H cat",
                "\x9b31m cat", "cat\r\nSet-Cookie: a=b", "\x08" * 99 + "cat", "\x7f\x80\x9f",
                "cat\u2028dog\u2029", "\ud800", "cat \udfff", "\udce9", "\ufffe\uffff", "\U0010ffff",
                "\ue000", "\u3164", "\u2800\u2800", "\u115f", "𝖆 𝖈𝖆𝖙", "ﷺ" * 300, "ﷺ" * 2000, "👨‍👩‍👧‍👦" * 99,
                "🇫🇷" * 300, "ẛ̣", "İ" * 900, "ß" * 900, "ŉ" * 900)  # fmt: skip
    yield from ("a" * 2000, "a" * 2001, "a" * 100_000, "a " * 50_000, "é" * 100_000, "\0" * 100_000,
                "\n" * 100_000, "🐈" * 5000)  # fmt: skip


def _code() -> Iterator[str]:
    yield from ("'; drop table requests; --", "' or 1=1 --", '" or ""="', "1; select pg_sleep(9)",
                "\\'; drop table jobs", "%' or prompt like '%", "_%_%_%", "$1 $2 :name ?",
                "%s%s%s%n%x", "%(prompt)s", "{prompt}", "{0.__class__}", "{locale!r:>9999}",
                "{{7*7}}", "{% for a in b %}", "${7*7}", "#{7*7}", "<%= 7*7 %>", "$(reboot)",
                "`reboot`", "; reboot", "| cat /etc/passwd", "&& reboot", "../../../etc/passwd",
                "<script>alert(1)</script>", "<img src=x onerror=alert(1)>", "\"><svg onload=a>",
                "=cmd|'/c calc'!A1", "@SUM(1+1)", "+1+1", "<?xml version='1.0'?>", "]]>", "<!--",
                "--><x>", "&lt;&amp;&#0;", "[red]a[/red]", "[bold", "[/]", "[link=file:///]a[/link]",
                "[@click=app.bell]a[/]", ":smile:", "null", "NaN", "true", "__import__('os')",
                "eval(1)", "\\u0000", "\\x00", "%00", "\\N{BELL}")  # fmt: skip


def _grammar() -> Iterator[str]:
    yield from ("--", "---", "--seed", "--seed --seed", "--seed=", "a --seed " + "9" * 5000,
                "a --seed -1", "a --seed 1e9", "a --seed ١٢", "a --count 999999", "a --steps 0",
                "a --guidance nan", "a --guidance inf", "a --strength 0", "a --ar 0:0",
                "a --ar 99999:1", "a --size 99999x99999", "a --size 64×64", "a --model ../../x",
                "a --style {x}", "a --use x", "a --private=maybe", "a --" + "x" * 5000,
                "a " + "--seed 1 " * 1000, "a " + "--no b " * 1400, "a " + "--sed 1 " * 900,
                "—seed" * 1500, "—zz " * 2400, "a --no " + "," * 1900, "a --no " + "(" * 1900,
                'a --style "', "a --style '", "a --style “x", "a --style «" + "«" * 1900, '"' * 1999,
                "'" * 1999, "«" * 1999)  # fmt: skip
    yield from ("(" * 1999, ")" * 1999, "()" * 999, "(-" * 999, "(-a" * 600, "(-a" * 600 + ")" * 600,
                "(- a)" * 350, "((((a:1.1):1.1):1.1):1.1)", "(a:1.3" * 300, "(a:" + "1" * 1900 + ")",
                "(a:" + " " * 1900 + "1)", "(a:1" + " " * 1900, "(a:1.3)" * 280, "(a:-1)", "(a:9e9)",
                "(a:nan)", "(:1.3)", "( :1.3)", "(a::1.3)", "(a" + ":1" * 950 + ")", "(" + "\\(" * 950,
                "\\" * 1999, "(" + "\\" * 1999, "cat++++", ".blend(1,2)", "[a|b|c]" * 200,
                "<lora:x:9>" * 150, "a AND b AND " * 100, "{a|b}" * 300)  # fmt: skip
    yield from ("{image:", "{image:}", "{image: }", "{image: x", "{image: https://}",
                "{image: https://[}", "{image:{image:{image: x}}}", "{image:" * 1400,
                "{image: https://evil.example/a.png}", "{image: file:///etc/passwd}",
                "{image: https://169.254.169.254/}" * 2, "{imagen: //x}", "{ img :x}")  # fmt: skip


def _slow() -> Iterator[str]:
    """What regular expressions and loops of the text check would take long over."""
    yield from ("n u d e " * 250, "n u d e x y " * 160, "n.u.d.e." * 250, "1 3 4 5 " * 250,
                "a years" * 280, "11 years " * 220, "aged of: " * 220, "s" * 2000, "aeiou" * 400,
                " ".join(map(chr, range(0x4E00, 0x4E00 + 1000))), "nu(de:1.2)" * 190, "@" * 2000,
                "n-" * 1000, "| " * 1000, "a" * 999 + "!" * 999, "a@" * 999)  # fmt: skip


PROMPTS = tuple(
    dict.fromkeys(
        itertools.chain(_mentions(), _markup(), _characters(), _code(), _grammar(), _slow())
    )
)
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)
_LIVE = re.compile(
    r"[*_~|`\[\]<>]|@everyone|@here|://|^\s*(?:#{1,3}|-#|[-+]|\d+\.)\s", re.MULTILINE
)
_JOINER = "\u2060"


def alive(shown: str) -> list[str]:
    """What Discord would still take for markup, a link or a mention."""
    return _LIVE.findall(_ESCAPED.sub("\0", shown))


def seen(shown: str) -> str:
    """What a person reads."""
    return _ESCAPED.sub(r"\1", shown).replace(_JOINER, "")


async def _asked(line: Line, text: str, locale: str) -> UUID | Complaint:
    raw = RawCommand(
        event=EventKey(platform=Platform.DISCORD, kind="interaction", id=str(uuid4())),
        requester=Requester(platform=Platform.DISCORD, user_id=str(uuid4()), locale=locale),
        place=Place(platform=Platform.DISCORD, workspace_id="1", channel_id="1"),
        text=text,
        options={"negative": text} if len(text) % 2 else {},
    )
    return await line.submit(raw, {})


def _walk(line: Line, painter: Painter, text: str, locale: str) -> dict[str, Any]:
    """Once through the line, and then as it reads in each language."""
    taken = asyncio.run(_asked(line, text, locale))
    if isinstance(taken, Complaint):
        return {locale: _complaint(taken, locale) for locale in LOCALES}
    entry = _entry(line, taken)
    if not entry.state.finished:
        painter.paint()
        entry = _entry(line, taken)
    request = entry.request
    parse_weights(request.prompt)
    parse_weights(request.negative_prompt)
    echo(request)
    shell = _shell(entry)
    return {locale: _card(replace(entry, locale=locale)) | {"shell": shell} for locale in LOCALES}


def _entry(line: Line, job: UUID) -> log.LogEntry:
    with line.database.read() as session:
        entry = log.entry(session, job)
    assert entry is not None
    return entry


def _complaint(complaint: Complaint, locale: str) -> dict[str, Any]:
    said = words(locale, complaint)
    # What stands between our own words is what was typed.
    ours = say(locale, complaint.text, **dict.fromkeys(complaint.values, ""))
    live = Counter(alive(said)) - Counter(alive(ours))
    return {"complaint": complaint.text, "said": said, "alive": list(live.elements())}


def _card(entry: log.LogEntry) -> dict[str, Any]:
    content = Content(present(entry, None), late=False)
    title, description = content.embed.title or "", content.embed.description or ""
    return {
        "state": str(entry.state),
        "said": title,
        "prompt": entry.request.prompt,
        "seen": seen(title),
        "alive": alive(title) + alive(description),
        "details": details(entry, entry.locale)[0][1],
    }


def _shell(entry: log.LogEntry) -> str:
    """As `easel log` and `easel log show` print it."""
    out = io.StringIO()
    console = Console(file=out, markup=False, emoji=False, highlight=False, force_terminal=True,
                      width=100, color_system=None)  # fmt: skip
    table = Table("id", "prompt", box=None)
    table.add_row(str(entry.job_id)[:8], entry.request.prompt)
    console.print(table)
    console.print_json(data=as_json(entry))
    return out.getvalue()


def run() -> Iterator[Result]:
    with tempfile.TemporaryDirectory() as folder:
        settings = make_settings(
            Path(folder), broker_url="memory://", daily_pictures=10_000, queue_limit=10_000
        )
        line = build_line(settings)
        painter = Painter(line.database, line.blobs, tuple(line.catalog.models))
        for warm in ("a cat", "a cat --sed"):
            _walk(line, painter, warm, "en")
        for number, text in enumerate(PROMPTS):
            locale = LOCALES[number % len(LOCALES)]
            walk = partial(_walk, line, painter, text, locale)
            yield measured(f"{number} {text[:40]!a}", walk)
        line.database.close()


if __name__ == "__main__":
    report(run())
