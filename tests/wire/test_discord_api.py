"""The checks of the wire go red on what Discord would refuse."""

from typing import Any

import pytest

from tests.wire.discord_api import MIB, Api, Violation, check_limits, spec_path

PINGS: dict[str, Any] = {"allowed_mentions": {"parse": []}}
MESSAGE = "/channels/1/messages/2"
CALLBACK = "/interactions/1/token/callback"


def button(custom_id: str = "easel:again:1", label: str = "Again") -> dict[str, Any]:
    return {"type": 2, "style": 2, "custom_id": custom_id, "label": label}


def row(*items: dict[str, Any]) -> dict[str, Any]:
    return {"type": 1, "components": list(items)}


BAD_BODIES: dict[str, dict[str, Any]] = {
    "content": {**PINGS, "content": "x" * 2001},
    "embeds": {**PINGS, "embeds": [{"title": "x"}] * 11},
    "title": {**PINGS, "embeds": [{"title": "x" * 257}]},
    "description": {**PINGS, "embeds": [{"description": "x" * 4097}]},
    "all embeds": {**PINGS, "embeds": [{"description": "x" * 3001}] * 2},
    "fields": {**PINGS, "embeds": [{"fields": [{"name": "a", "value": "b"}] * 26}]},
    "an empty field": {**PINGS, "embeds": [{"fields": [{"name": "a", "value": " "}]}]},
    "pings": {"content": "x", "allowed_mentions": {"parse": ["everyone"]}},
    "pings by default": {"content": "x"},
    "rows": {"components": [row(button(str(i))) for i in range(6)]},
    "buttons": {"components": [row(*(button(str(i)) for i in range(6)))]},
    "label": {"components": [row(button(label="x" * 81))]},
    "no label": {"components": [row(button(label=""))]},
    "custom id": {"components": [row(button("x" * 101))]},
    "twins": {"components": [row(button(), button())]},
    "options": {
        "components": [
            row({"type": 3, "custom_id": "a", "options": [{"label": "a", "value": "b"}] * 26})
        ]
    },
}


@pytest.mark.parametrize("case", BAD_BODIES)
def test_a_message_over_the_limits(case: str) -> None:
    with pytest.raises(Violation):
        check_limits("PATCH", MESSAGE, BAD_BODIES[case])


def attachment(index: int = 0, **changes: Any) -> dict[str, Any]:
    return {"id": index, "filename": "easel.png", "description": "a red apple", **changes}


@pytest.mark.parametrize(
    ("attachments", "sizes"),
    [
        ([attachment(i) for i in range(11)], [1] * 11),
        ([attachment()], [10 * MIB + 1]),
        ([attachment(i) for i in range(3)], [9 * MIB] * 3),
        ([], [1]),
        ([attachment(description="x" * 1025)], [1]),
        ([attachment(description=None)], [1]),
    ],
    ids=["number", "size", "all sizes", "no entry", "alt text", "no alt text"],
)
def test_files_over_the_limits(attachments: list[dict[str, Any]], sizes: list[int]) -> None:
    with pytest.raises(Violation):
        check_limits("PATCH", MESSAGE, {"attachments": attachments}, sizes)


def test_a_good_message_passes() -> None:
    body = {**PINGS, "embeds": [{"title": "x"}], "components": [row(button())]}
    check_limits("PATCH", MESSAGE, {**body, "attachments": [attachment()]}, [1])


@pytest.mark.parametrize(
    "changes",
    [
        {"name": "Imagine"},
        {"name": "a b"},
        {"description": "x" * 101},
        {"description_localizations": {"fr": ""}},
        {"options": [{"name": "a", "description": "b"}] * 2},
        {"options": [{"name": f"a{i}", "description": "x" * 100} for i in range(26)]},
        {"options": [{"name": "a", "description": "b", "choices": [{"name": "x" * 8000}]}]},
    ],
)
def test_commands_over_the_limits(changes: dict[str, Any]) -> None:
    command = {"name": "imagine", "description": "Draw", **changes}
    with pytest.raises(Violation):
        check_limits("PUT", "/applications/1/commands", [command])


def modal(**changes: Any) -> dict[str, Any]:
    box = {"type": 4, "custom_id": "prompt", "style": 2, **changes.pop("box", {})}
    label = {"type": 18, "label": "Prompt", "component": box, **changes.pop("label", {})}
    data = {"title": "Edit", "custom_id": "easel:edit:1", "components": [label], **changes}
    return {"type": 9, "data": data}


@pytest.mark.parametrize(
    "body",
    [
        modal(title="x" * 46),
        modal(custom_id="x" * 101),
        modal(label={"label": "x" * 46}),
        modal(label={"description": "x" * 101}),
        modal(box={"max_length": 4001}),
        modal(box={"max_length": 5, "value": "123456"}),
    ],
)
def test_modals_over_the_limits(body: dict[str, Any]) -> None:
    with pytest.raises(Violation):
        check_limits("POST", CALLBACK, body)


def test_too_many_suggestions() -> None:
    body = {"type": 8, "data": {"choices": [{"name": "a", "value": "a"}] * 26}}
    with pytest.raises(Violation):
        check_limits("POST", CALLBACK, body)


@pytest.fixture(scope="module")
def api() -> Api:
    path = spec_path()
    if path is None:
        pytest.skip("EASEL_SPECS is not set")
    return Api.load(path)


def test_the_description_knows_the_path(api: Api) -> None:
    original = "/webhooks/1/token/messages/@original"
    assert api.template("PATCH", original).endswith("@original")
    assert api.template("PATCH", MESSAGE) == "/channels/{channel_id}/messages/{message_id}"
    with pytest.raises(Violation):
        api.template("PATCH", "/channels/1/pictures/2")


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("PATCH", MESSAGE, {"embeds": "none"}),
        ("PATCH", MESSAGE, {"components": [{"type": 1, "components": [{"type": 2}]}]}),
        ("PATCH", MESSAGE, {"allowed_mentions": {"parse": ["all"]}}),
        ("POST", CALLBACK, {"type": 99}),
        ("DELETE", MESSAGE, {"content": "x"}),
        ("PUT", "/applications/1/commands", [{"name": 1}]),
    ],
)
def test_what_the_description_forbids(api: Api, method: str, path: str, body: Any) -> None:
    with pytest.raises(Violation):
        api.check(method, path, body, files=False)


def test_files_go_only_where_files_go(api: Api) -> None:
    api.check("PATCH", MESSAGE, {"attachments": [attachment()]}, files=True)
    with pytest.raises(Violation):
        api.check("POST", "/users/@me/channels", {"recipient_id": "1"}, files=True)
