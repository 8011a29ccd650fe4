"""The checks of Slack's wire take what is just at a limit and go red on what is just over."""

from collections.abc import Callable
from typing import Any

import pytest

from tests.wire import slack_api
from tests.wire.slack_api import (
    HOME,
    MESSAGE,
    MODAL,
    UPLOAD,
    Violation,
    check_blocks,
    check_sample,
    check_view,
    pictures,
)

Json = dict[str, Any]


def plain(length: int = 1) -> Json:
    return {"type": "plain_text", "text": "x" * length}


def mrkdwn(length: int = 1) -> Json:
    return {"type": "mrkdwn", "text": "x" * length}


def section(length: int = 1, **more: Any) -> Json:
    return {"type": "section", "text": mrkdwn(length), **more}


def button(number: int = 0, **changes: Any) -> Json:
    return {"type": "button", "action_id": f"a{number}", "text": plain(), **changes}


def actions(*elements: Json) -> Json:
    return {"type": "actions", "elements": list(elements)}


def option(number: int = 0, **changes: Any) -> Json:
    return {"text": plain(), "value": str(number), **changes}


def select(count: int = 1, **changes: Any) -> Json:
    options = [option(n) for n in range(count)]
    return {"type": "static_select", "action_id": "s", "options": options, **changes}


def asked(**element: Any) -> Json:
    element = {"type": "plain_text_input", "action_id": "i", **element}
    return {"type": "input", "label": plain(), "element": element}


def image(**changes: Any) -> Json:
    return {"type": "image", "alt_text": "x", "slack_file": {"id": "F1"}, **changes}


COUNTED: dict[str, tuple[str, int, Callable[[int], list[Json]]]] = {
    "blocks of a message": (MESSAGE, 50, lambda n: [{"type": "divider"}] * n),
    "blocks of a modal": (MODAL, 100, lambda n: [{"type": "divider"}] * n),
    "blocks of a home": (HOME, 100, lambda n: [{"type": "divider"}] * n),
    "block_id": (MESSAGE, 255, lambda n: [section(block_id="x" * n)]),
    "section text": (MESSAGE, 3000, lambda n: [section(n)]),
    "fields": (MESSAGE, 10, lambda n: [{"type": "section", "fields": [plain()] * n}]),
    "field": (MESSAGE, 2000, lambda n: [{"type": "section", "fields": [plain(n)]}]),
    "all text": (MESSAGE, 13_200, lambda n: [*[section(3000)] * 4, section(n - 12_000)]),
    "header": (MESSAGE, 150, lambda n: [{"type": "header", "text": plain(n)}]),
    "context": (MESSAGE, 10, lambda n: [{"type": "context", "elements": [plain()] * n}]),
    "markdown": (MESSAGE, 12_000, lambda n: [{"type": "markdown", "text": "x" * n}]),
    "alt text": (MESSAGE, 2000, lambda n: [image(alt_text="x" * n)]),
    "image title": (MESSAGE, 2000, lambda n: [image(title=plain(n))]),
    "actions": (MESSAGE, 25, lambda n: [actions(*(button(i) for i in range(n)))]),
    "action_id": (MESSAGE, 255, lambda n: [actions(button(action_id="x" * n))]),
    "label": (MESSAGE, 75, lambda n: [actions(button(text=plain(n)))]),
    "value": (MESSAGE, 2000, lambda n: [actions(button(value="x" * n))]),
    "url": (MESSAGE, 3000, lambda n: [actions(button(url="x" * n))]),
    "options": (MESSAGE, 100, lambda n: [actions(select(n))]),
    "option text": (MESSAGE, 75, lambda n: [actions(select(options=[option(text=plain(n))]))]),
    "option value": (MESSAGE, 150, lambda n: [actions(select(options=[option(value="x" * n)]))]),
    "placeholder": (MESSAGE, 150, lambda n: [actions(select(placeholder=plain(n)))]),
    "input label": (MODAL, 2000, lambda n: [{**asked(), "label": plain(n)}]),
    "hint": (MODAL, 2000, lambda n: [{**asked(), "hint": plain(n)}]),
    "max_length": (MODAL, 3000, lambda n: [asked(max_length=n)]),
    "initial value": (MODAL, 3000, lambda n: [asked(initial_value="x" * n)]),
    "value in its box": (MODAL, 9, lambda n: [asked(max_length=9, initial_value="x" * n)]),
    "files": (MODAL, 10, lambda n: [asked(type="file_input", max_files=n)]),
}


@pytest.mark.parametrize("case", COUNTED)
def test_just_at_a_limit_and_just_over(case: str) -> None:
    surface, limit, blocks = COUNTED[case]
    check_blocks(blocks(limit), surface)
    with pytest.raises(Violation):
        check_blocks(blocks(limit + 1), surface)


WRONG: dict[str, tuple[str, list[Json]]] = {
    "no type": (MESSAGE, [{"text": plain()}]),
    "an unknown type": (MESSAGE, [{"type": "carousel"}]),
    "an unknown field": (MESSAGE, [section(colour="red")]),
    "an empty section": (MESSAGE, [{"type": "section"}]),
    "empty text": (MESSAGE, [section(0)]),
    "mrkdwn in a header": (MESSAGE, [{"type": "header", "text": mrkdwn()}]),
    "verbatim plain text": (
        MESSAGE,
        [{"type": "section", "text": {**plain(), "verbatim": True}}],
    ),
    "twin block ids": (MESSAGE, [section(block_id="a"), section(block_id="a")]),
    "twin action ids": (MESSAGE, [actions(button(), button())]),
    "no alt text": (MESSAGE, [{"type": "image", "slack_file": {"id": "F1"}}]),
    "empty alt text": (MESSAGE, [image(alt_text="")]),
    "no picture": (MESSAGE, [{"type": "image", "alt_text": "x"}]),
    "two pictures": (MESSAGE, [image(image_url="https://example.org/a.png")]),
    "a button's style": (MESSAGE, [actions(button(style="default"))]),
    "no actions": (MESSAGE, [actions()]),
    "an input among actions": (MESSAGE, [actions(asked()["element"])]),
    "a button as an input": (MODAL, [{**asked(), "element": button()}]),
    "files outside a modal": (MESSAGE, [asked(type="file_input")]),
    "no files": (MODAL, [asked(type="file_input", max_files=0)]),
    "markdown in a modal": (MODAL, [{"type": "markdown", "text": "x"}]),
    "actions with an upload": (UPLOAD, [actions(button())]),
    "an image in a card's text": (MESSAGE, [section(accessory=asked()["element"])]),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_slack_refuses(case: str) -> None:
    surface, blocks = WRONG[case]
    with pytest.raises(Violation):
        check_blocks(blocks, surface)


def modal(**changes: Any) -> Json:
    return {
        "type": "modal",
        "title": plain(),
        "submit": plain(),
        "blocks": [asked()],
        **changes,
    }


@pytest.mark.parametrize(
    ("name", "limit", "value"),
    [
        ("title", 24, plain),
        ("submit", 24, plain),
        ("close", 24, plain),
        ("callback_id", 255, "x".__mul__),
        ("external_id", 255, "x".__mul__),
        ("private_metadata", 3000, "x".__mul__),
    ],
)
def test_a_modal_at_its_limits(name: str, limit: int, value: Callable[[int], Any]) -> None:
    check_view(modal(**{name: value(limit)}))
    with pytest.raises(Violation):
        check_view(modal(**{name: value(limit + 1)}))


@pytest.mark.parametrize(
    "changes", [{"submit": None}, {"type": "sheet"}, {"title": mrkdwn()}, {"colour": "red"}]
)
def test_a_modal_that_slack_refuses(changes: Json) -> None:
    given = {key: value for key, value in modal(**changes).items() if value is not None}
    with pytest.raises(Violation):
        check_view(given)


def test_a_home_has_no_title() -> None:
    check_view({"type": "home", "blocks": [section()]})
    with pytest.raises(Violation):
        check_view({"type": "home", "title": plain(), "blocks": [section()]})


def test_pictures_are_found_wherever_they_are() -> None:
    context = {"type": "context", "elements": [image(alt_text="in a context")]}
    accessory = section(accessory=image(alt_text="beside a section"))
    found = [picture["alt_text"] for picture in pictures([image(), context, accessory])]
    assert found == ["x", "in a context", "beside a section"]


@pytest.fixture
def samples() -> None:
    if slack_api.specs_folder() is None:
        pytest.skip("EASEL_SPECS is not set")


@pytest.mark.usefixtures("samples")
@pytest.mark.parametrize(
    "answer",
    [
        {"ok": True, "user": {"id": "U1", "nickname": "x"}},
        {"ok": True, "user": {"id": 1}},
        {"ok": "yes"},
        {"ok": True, "user": {"profile": []}},
        {"ok": True, "user": {"updated": True}},
    ],
)
def test_what_is_not_like_a_sample(answer: Json) -> None:
    with pytest.raises(Violation):
        check_sample("users.info", answer)


@pytest.mark.usefixtures("samples")
def test_what_is_like_a_sample() -> None:
    check_sample("users.info", {"ok": True, "user": {"id": "U1", "profile": {"title": ""}}})
    share = {"C123": [{"ts": "1.2", "channel_name": "x"}]}
    check_sample("files.completeUploadExternal", {"files": [{"shares": {"public": share}}]})


@pytest.mark.usefixtures("samples")
def test_the_published_tiers() -> None:
    methods = ("apps.connections.open", "users.list", "chat.update", "files.info", "auth.test")
    assert [slack_api.per_minute(method) for method in methods] == [1, 20, 50, 100, 300]
