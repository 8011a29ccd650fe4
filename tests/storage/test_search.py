"""Search in prompts: what moderators find, the same on SQLite and PostgreSQL."""

import random
from itertools import product
from uuid import UUID

import pytest
from sqlalchemy import select, text

from storage import forget, log, migrate, review, search
from storage.database import Database
from storage.domain import Platform, ReviewKind
from storage.tables import SearchRow
from tests.fakes.nouns import FakeClock, a_request, account, recorded

PROMPTS = {
    "apple": "A red Apple on a table",
    "fr": "Un château l'été, façon Œuvre de maître — pêche",
    "es": "El niño y la ñandú en la montaña, ¡qué alegría!",
    "signs": 'he said "hello" *world* -minus foo:bar (cat:1.3) 100% a_green_frog',
    "ligature": "ﬁne ＦＵＬＬＷＩＤＴＨ STRASSE",
    "other": "黒い猫 and a 🍎 🏳️‍🌈",
    "long": "Donaudampfschifffahrtsgesellschaft photorealistic",
    "apples": "two apples, reddish",
    "words": "and or not near AND OR NOT NEAR select drop table",
    "signs only": "*** !!!",
}


FOUND = {
    "red": ["apples", "apple"],
    "RED apple": ["apples", "apple"],
    "red apples": ["apples"],
    "apple table red": ["apple"],
    "pple": [],
    "chateau": ["fr"],
    "CHÂTEAU ETE": ["fr"],
    "château": ["fr"],
    "oeuvre": ["fr"],
    "œuvre maitre": ["fr"],
    "l'été": ["fr"],
    "peche": ["fr"],
    "nino": ["es"],
    "NIÑO ñandu": ["es"],
    "montana alegria que": ["es"],
    "strasse": ["ligature"],
    "straße": ["ligature"],
    "fine fullwidth": ["ligature"],
    "猫": ["other"],
    "🍎": ["other"],
    "🍊": [],
    "🌈": ["other"],
    '"hello"': ["signs"],
    '"hello': ["signs"],
    "he*": ["signs"],
    "*": [],
    "-minus": ["signs"],
    "foo:bar": ["signs"],
    "foo:*": ["signs"],
    ":": [],
    "cat:1.3": ["signs"],
    "100%": ["signs"],
    "green_fr": ["signs"],
    "a_green": ["signs"],
    "_": [],
    "%": [],
    "'": [],
    "\\": [],
    "' OR 1=1 --": [],
    "hello & world": ["signs"],
    "hello | nothing": [],
    "!hello": ["signs"],
    "NOT": ["words"],
    "AND NOT NEAR": ["words"],
    "NEAR(select, 2)": [],
    "words : select": [],
    "table": ["words", "apple"],
    "photorealistic": ["long"],
    "donaudampfschifffahrtsgesellschaft": ["long"],
    "donaudampfschifffahrtsgesell": ["long"],
    "un\u200bchateau": [],
    "cha\u00adteau": ["fr"],
    "red\x00apple": ["apples", "apple"],
    "_udiscordalice": [],
    "zebra": [],
    "": list(PROMPTS)[::-1],
    " \n\t ": list(PROMPTS)[::-1],
}


@pytest.fixture
def ids(database: Database, clock: FakeClock) -> dict[UUID, str]:
    found = {}
    for name, prompt in PROMPTS.items():
        clock.advance(seconds=1)
        with database.write() as session:
            job = recorded(session, now=clock(), request=a_request(prompt=prompt))
            found[job] = name
    return found


def test_what_is_typed_and_what_is_found(database: Database, ids: dict[UUID, str]) -> None:
    with database.read() as session:
        for unfinished in (False, True):  # The way for few rows asks no index.
            found = {
                typed: [
                    ids[e.job_id] for e in log.page(session, search=typed, unfinished=unfinished)
                ]
                for typed in FOUND
            }
            assert found == FOUND


def test_a_search_text_of_100_kilobytes(database: Database, ids: dict[UUID, str]) -> None:
    pieces = (
        "apple ",
        '"* - : ',
        "a" * 100,
        "🍎",
        "é",
        "(",
        "".join(f"word{i} " for i in range(9999)),
    )
    with database.read() as session:
        for piece, unfinished in product(pieces, (False, True)):
            text = (piece * (100_000 // len(piece) + 1))[:100_000]
            found = log.page(session, search=text, unfinished=unfinished)
            expected = {"apple ": ["apples", "apple"], "🍎": ["other"]}
            assert [ids[entry.job_id] for entry in found] == expected.get(piece, []), piece[:10]


def test_random_signs_are_no_error(database: Database, ids: dict[UUID, str]) -> None:
    rng = random.Random(5309)
    signs = "\"'*-:()&|!^~{}[]\\/%_<>+$#@\x00\t\né🍎aA1 \ud800"
    with database.read() as session:
        for _ in range(200):
            log.page(session, search="".join(rng.choices(signs, k=rng.randint(1, 12))))


def test_pages_of_a_search_meet_without_gap_or_overlap(
    database: Database, clock: FakeClock
) -> None:
    """Also when all were asked for at the same moment."""
    with database.write() as session:
        ids = [recorded(session, now=clock()) for _ in range(7)]
    seen: list[UUID] = []
    before = None
    with database.read() as session:
        while entries := log.page(session, limit=2, before=before, search="apple"):
            seen += [entry.job_id for entry in entries]
            before = (entries[-1].created_at, entries[-1].job_id)
    assert seen == ids[::-1]


def test_within_one_person_one_server_and_what_is_held(
    database: Database, clock: FakeClock
) -> None:
    with database.write() as session:
        whose = {
            recorded(session, now=clock(), user=user, server=server): (user, server)
            for user, server in (("U1", "a"), ("U1", "b"), ("U2", "a"))
        }
        first = next(iter(whose))
        review.report(session, first, by=account("bob"), now=clock())

    def found(**filters: object) -> list[tuple[str, str]]:
        with database.read() as session:
            page = log.page(session, search="apple", **filters)  # type: ignore[arg-type]
            return [whose[entry.job_id] for entry in page]

    assert found(user=account("U1")) == [("U1", "b"), ("U1", "a")]
    assert found(workspace=("discord", "a")) == [("U2", "a"), ("U1", "a")]
    assert found(user=account("U1"), workspace=("discord", "a")) == [("U1", "a")]
    assert found(user=account("U1", Platform.SLACK)) == []
    assert found(user=account("u1")) == [], "ids keep their case"
    assert found(reviews=[ReviewKind.REPORT]) == [("U1", "a")]


def test_who_is_forgotten_is_found_no_more(database: Database, clock: FakeClock) -> None:
    with database.write() as session:
        for user in ("alice", "bob"):
            recorded(session, now=clock(), user=user, request=a_request(prompt=f"canary {user}"))
        forget.forget_person(session, account("alice"), clock())
    with database.read() as session:
        [entry] = log.page(session, search="canary")
        assert entry.user_id == "bob"
        assert log.page(session, search="alice") == []
        assert log.page(session, user=account("alice"), search="canary") == []
        stored = session.scalars(select(SearchRow.words).order_by(SearchRow.number)).all()
        assert stored[0] == ""
        if database.is_sqlite:
            matches = "select rowid from search_words where search_words match :word"
            for word in ("alice", "alic*", "_udiscordalice"):
                assert session.execute(text(matches), {"word": f'"{word}"'}).all() == []


def test_the_index_agrees_with_its_table(database: Database, ids: dict[UUID, str]) -> None:
    """FTS5's own check of what the triggers did."""
    if not database.is_sqlite:
        pytest.skip("PostgreSQL keeps its index itself")
    with database.write() as session:
        forget.forget_person(session, account("alice"), database.clock())
        check = "insert into search_words (search_words, rank) values ('integrity-check', 1)"
        session.execute(text(check))


def test_the_migration_indexes_what_is_there(
    database: Database, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Back to the schema before, and forward again in batches smaller than the table."""
    from alembic import command

    with database.write() as session:
        whose = [recorded(session, now=clock(), user=f"u{i}") for i in range(7)]
        forget.forget_person(session, account("u3"), clock())
    with database.engine.begin() as connection:
        command.downgrade(migrate._config(connection), "0001")
    monkeypatch.setattr(
        "storage.migrations.versions.0002_search_in_prompts.BATCH", 3, raising=False
    )
    migrate.upgrade(database)
    with database.read() as session:
        found = log.page(session, search="apple")
        assert {entry.job_id for entry in found} == {*whose} - {whose[3]}
        assert [e.user_id for e in log.page(session, search="red", user=account("u6"))] == ["u6"]
    with database.write() as session:
        recorded(session, now=clock())
        assert len(log.page(session, search="apple")) == 7


def test_words() -> None:
    assert search.words("L'Été, l'été! ÉTÉ") == ["l", "ete"]
    assert search.words("x" * 40) == ["x" * search.LONGEST_WORD]
