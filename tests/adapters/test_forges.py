"""Messages as the forges document them: who signed them, and what they say."""

import base64
import json
import time
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlencode

import pytest

from tasks.adapters.forges import push_of
from tasks.adapters.signatures import is_signed
from tasks.errors import InvalidInputError
from tasks.pushes import Forge, Nothing, Push
from tests.support.forge import generic_push, recorded, signed, standard, standardly

SECRET = "It's a Secret to Everybody"


def lowered(headers: dict[str, str]) -> dict[str, str]:
    return {name.lower(): value for name, value in headers.items()}


def believed(forge: Forge, headers: dict[str, str], body: bytes, secret: str = SECRET) -> bool:
    return is_signed(forge, lowered(headers), body, secret, datetime.now(UTC))


def read(forge: Forge, body: bytes, **headers: str) -> Push:
    found = push_of(forge, lowered(signed(forge, body, delivery="d1") | headers), body)
    assert isinstance(found, Push)
    return found


def test_githubs_own_example_of_a_signature_holds() -> None:
    """https://docs.github.com/webhooks/using-webhooks/validating-webhook-deliveries#testing-the-webhook-payload-validation"""
    mark = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"
    assert believed(Forge.GITHUB, {"X-Hub-Signature-256": mark}, b"Hello, World!")
    assert not believed(Forge.GITHUB, {"X-Hub-Signature-256": mark}, b"Hello, World?")


def test_the_example_of_standard_webhooks_holds() -> None:
    """https://docs.svix.com/receiving/verifying-payloads/how-manual"""
    body = b'{"event_type":"ping","data":{"success":true}}'
    key = "whsec_plJ3nmyCDGBKInavdOK15jsl"
    headers = {
        "webhook-id": "msg_loFOjxBNrRLzqYUf",
        "webhook-timestamp": "1731705121",
        "webhook-signature": "v1,rAvfW3dJ/X/qxhsaXPOyyCGmRKsaKWcsNccKXlIktD0=",
    }
    then = datetime.fromtimestamp(1731705121, UTC)
    assert is_signed(Forge.GENERIC, headers, body, key, then)
    assert not believed(Forge.GENERIC, headers, body, key), "it is older than five minutes"


@pytest.mark.parametrize("forge", list(Forge))
def test_only_who_knows_the_secret_is_believed(forge: Forge) -> None:
    body = recorded("github")
    assert believed(forge, signed(forge, body), body)
    assert not believed(forge, signed(forge, body, "another secret"), body)
    assert not believed(forge, {}, body)
    assert not believed(forge, signed(forge, body, ""), body, "x")
    if forge is not Forge.GITLAB:  # its token says nothing about the body
        assert not believed(forge, signed(forge, body), body + b" ")


def test_a_gitlab_with_a_signing_token_signs_body_and_moment() -> None:
    body = recorded("gitlab")
    assert believed(Forge.GITLAB, standardly(body), body)
    assert not believed(Forge.GITLAB, standardly(body, seconds_ago=301), body)
    assert not believed(Forge.GITLAB, standardly(body, seconds_ago=-301), body)
    assert not believed(Forge.GITLAB, standardly(body), body + b" ")
    token_too = standardly(body, secret="wrong") | {"X-Gitlab-Token": SECRET}
    assert not believed(Forge.GITLAB, token_too, body), "the better proof counts, and it is wrong"
    key = base64.b64encode(b"0123456789abcdef").decode()
    headers = standard(body, "m", time.time(), b"0123456789abcdef")
    assert believed(Forge.GITLAB, headers, body, f"whsec_{key}")


@pytest.mark.parametrize("moment", ["", "soon", "1e9", "-5", "٣" * 10, "9" * 40])
def test_a_moment_that_is_none_is_not_believed(moment: str) -> None:
    headers = standardly(b"{}") | {"webhook-timestamp": moment}
    assert not believed(Forge.GITLAB, headers, b"{}")


def test_github_says_what_was_pushed() -> None:
    found = read(Forge.GITHUB, recorded("github"))
    assert (found.branch, found.by, found.delivery) == ("main", "Codertocat", "d1")
    assert found.commit == "59b20b8d5c6ff8d09518454d4dd8b7b30f095ab5"
    assert found.paths == frozenset({"README.md"})
    assert "git@github.com:Codertocat/Hello-World.git" in found.addresses


def test_github_may_send_a_form() -> None:
    body = urlencode({"payload": recorded("github").decode()}).encode()
    kind = {"Content-Type": "application/x-www-form-urlencoded"}
    assert read(Forge.GITHUB, body, **kind).branch == "main"


def test_gitlab_says_what_was_pushed_but_not_all_of_its_files() -> None:
    found = read(Forge.GITLAB, recorded("gitlab"))
    assert (found.branch, found.by) == ("master", "jsmith")
    assert found.paths is None, "it lists two commits of four"
    assert "git@example.com:mike/diaspora.git" in found.addresses
    whole = json.loads(recorded("gitlab")) | {"total_commits_count": 2}
    listed = read(Forge.GITLAB, json.dumps(whole).encode()).paths
    assert listed == frozenset({"CHANGELOG", "app/controller/application.rb"})


def test_gitea_and_forgejo_say_what_was_pushed() -> None:
    body = recorded("gitea")
    found = read(Forge.GITEA, body)
    assert (found.branch, found.by) == ("develop", "gitea")
    assert found.paths == frozenset({"hooks/yay.txt"})
    headers = {"x-forgejo-event": "push", "x-forgejo-delivery": "f1"}
    forgejo = push_of(Forge.GITEA, headers, body)
    assert isinstance(forgejo, Push)
    assert forgejo.delivery == "f1"


def test_a_message_without_an_id_is_known_by_its_content() -> None:
    body = generic_push("https://git.example.org/a/b", "a" * 40, paths=["x"])
    first, same = push_of(Forge.GENERIC, {}, body), push_of(Forge.GENERIC, {}, body)
    assert isinstance(first, Push)
    assert first == same
    assert first.paths == frozenset({"x"})


def edited(name: str, **changes: Any) -> bytes:
    return json.dumps(json.loads(recorded(name)) | changes).encode()


@pytest.mark.parametrize(
    ("forge", "body", "headers", "why"),
    [
        (Forge.GITHUB, recorded("github-ping"), {"X-GitHub-Event": "ping"}, "ping is no push"),
        (Forge.GITHUB, recorded("github-tag-deleted"), {}, "refs/tags/simple-tag is no branch"),
        (Forge.GITHUB, edited("github", after="0" * 40), {}, "the branch main was deleted"),
        (Forge.GITLAB, b"{}", {"X-Gitlab-Event": "Tag Push Hook"}, "Tag Push Hook is no push"),
        (Forge.GITLAB, b"", {"X-Gitlab-Event": "Merge Request Hook"}, "is no push"),
        (Forge.GITEA, b"{}", {"X-Gitea-Event": "pull_request"}, "pull_request is no push"),
    ],
)
def test_what_is_no_push_of_a_branch_is_nothing_to_do(
    forge: Forge, body: bytes, headers: dict[str, str], why: str
) -> None:
    found = push_of(forge, lowered(signed(forge, body) | headers), body)
    assert isinstance(found, Nothing)
    assert why in found.why


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"{}",
        b"\xff",
        b"[" * 100_000,
        edited("github", after="main"),
        edited("github", after="../../etc"),
        edited("github", ref=7),
        edited("github", ref="refs/heads/"),
        edited("github", ref="refs/heads/a\nb"),
        edited("github", repository="x"),
    ],
)
def test_a_message_that_cannot_be_one_is_refused(body: bytes) -> None:
    with pytest.raises(InvalidInputError):
        push_of(Forge.GITHUB, lowered(signed(Forge.GITHUB, body)), body)


@pytest.mark.parametrize(
    "changes", [{"forced": True}, {"commits": []}, {"commits": [7]}, {"commits": "x"}]
)
def test_where_the_files_cannot_be_known_they_are_not_guessed(changes: dict[str, Any]) -> None:
    assert read(Forge.GITHUB, edited("github", **changes)).paths is None
