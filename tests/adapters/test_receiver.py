"""The receiver: what it accepts is in the journal before it says so; everything else changes nothing."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Final

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from flows import desk
from tasks.adapters.receiver import Limits
from tasks.errors import InvalidInputError
from tasks.pushes import Forge
from tests.support.forge import (
    SECRET,
    VARIABLE,
    generic_push,
    recorded,
    repositories_yaml,
    repository,
    signed,
)
from tests.support.receiving import URL, Post, commit, receiving

NAMES: Final = {
    Forge.GITHUB: ("hello", "https://github.com/Codertocat/Hello-World.git", "main"),
    Forge.GITLAB: ("diaspora", "git@example.com:mike/diaspora.git", "master"),
    Forge.GITEA: ("webhooks", "http://localhost:3000/gitea/webhooks", "develop"),
}


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository at each forge, and one that releases two services."""
    of_forges = [
        repository(
            name,
            url,
            forge,
            services=[{"service": name, "branches": [branch]}],
        )
        for forge, (name, url, branch) in NAMES.items()
    ]
    two = [
        {"service": "cart", "folder": "cart"},
        {"service": "mail", "folder": "mail", "branches": ["main", "mail/*"]},
    ]
    written = repositories_yaml(
        tmp_path / "repositories.yaml", repository(url=URL, services=two), *of_forges
    )
    monkeypatch.setenv("BAKEWELL_REPOSITORIES", str(written))
    monkeypatch.setenv(VARIABLE, SECRET)
    return written


@pytest.fixture
def post(file: Path, tmp_path: Path) -> Iterator[Post]:
    with receiving(tmp_path) as found:
        yield found


def outcome(answer: httpx.Response) -> tuple[int, str]:
    return answer.status_code, answer.json()["outcome"]


@pytest.mark.parametrize("forge", list(NAMES))
def test_a_push_as_its_forge_documents_it_is_accepted_and_written_down(
    post: Post, forge: Forge
) -> None:
    name = NAMES[forge][0]
    body = recorded(forge.value)
    headers = signed(forge, body, delivery="d1")
    assert outcome(post.send(body, headers, f"/push/{name}")) == (202, "accepted")
    assert post.accepted() == [(name, json.loads(body)["after"])]
    assert outcome(post.send(body, headers, f"/push/{name}")) == (200, "known already")
    assert len(post.accepted()) == 1


def test_a_push_that_concerns_two_services_is_accepted_for_both(post: Post) -> None:
    assert outcome(post.push("a" * 40)) == (202, "accepted")
    assert post.accepted() == [("cart", "a" * 40), ("mail", "a" * 40)]
    assert outcome(post.push("b" * 40, "mail/x")) == (202, "accepted")
    assert post.accepted()[2:] == [("mail", "b" * 40)]
    assert outcome(post.push("c" * 40, "elsewhere")) == (200, "nothing to do")


def test_a_replayed_push_is_known_whatever_id_it_comes_with(post: Post) -> None:
    assert outcome(post.push("a" * 40, delivery="1")) == (202, "accepted")
    assert outcome(post.push("b" * 40, delivery="2")) == (202, "accepted")
    assert outcome(post.push("a" * 40, delivery="3")) == (200, "known already")
    assert outcome(post.push("c" * 40, delivery="1")) == (200, "known already")
    assert len(post.accepted()) == 4


def test_what_was_accepted_is_known_to_the_next_receiver(
    post: Post, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(desk, "OTHERS_SECONDS", 0.0)
    assert outcome(post.push("a" * 40)) == (202, "accepted")
    with receiving(tmp_path) as other:
        assert outcome(other.push("a" * 40)) == (200, "known already")
        assert outcome(other.push("b" * 40)) == (202, "accepted")
    assert outcome(post.push("b" * 40)) == (200, "known already")


def test_a_wrong_signature_is_refused(post: Post) -> None:
    body = generic_push(URL, commit())
    assert outcome(post.send(body, signed(Forge.GENERIC, body, "wrong"))) == (401, "not signed")
    assert outcome(post.send(body, {})) == (401, "not signed")
    right = signed(Forge.GENERIC, body)
    assert outcome(post.send(body + b" ", right)) == (401, "not signed")
    assert post.accepted() == []


def test_a_push_of_another_repository_is_refused_although_the_secret_is_right(post: Post) -> None:
    body = generic_push("https://git.example.org/evil/shop.git", commit())
    answer = post.send(body, signed(Forge.GENERIC, body))
    assert outcome(answer) == (404, "unknown repository")
    assert outcome(post.send(body, {}, "/push/nobody")) == (404, "unknown repository")
    assert post.accepted() == []


def test_a_message_that_is_too_large_is_not_read_to_its_end(post: Post) -> None:
    sent = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal sent
        while True:
            sent += 1
            yield b"x" * 5_000

    assert outcome(post.send(endless(), {})) == (413, "too large")
    assert sent <= 6


def test_a_message_that_trickles_is_given_up(post: Post) -> None:
    async def slow() -> AsyncIterator[bytes]:
        for _ in range(100):
            yield b"x"
            await asyncio.sleep(0.05)

    assert outcome(post.send(slow(), {})) == (408, "too slow")


def test_who_asks_too_often_is_told_when_to_come_again(file: Path, tmp_path: Path) -> None:
    with receiving(tmp_path, Limits(per_minute=3)) as post:
        answers = [post.push(commit()) for _ in range(5)]
    assert {one.status_code for one in answers[:3]} == {202}
    assert {one.status_code for one in answers[3:]} == {429}
    assert 1 <= int(answers[-1].headers["Retry-After"]) <= 60
    assert len(post.accepted()) == 6


def test_strangers_use_nothing_up_of_what_a_repository_may_send(file: Path, tmp_path: Path) -> None:
    with receiving(tmp_path, Limits(per_minute=8)) as post:
        body = generic_push(URL, commit())
        for _ in range(6):
            assert outcome(post.send(body, {})) == (401, "not signed")
        assert outcome(post.push(commit())) == (202, "accepted")
        assert outcome(post.push(commit())) == (202, "accepted")
        assert outcome(post.push(commit())) == (429, "too often")


def test_what_is_no_push_is_answered_kindly(post: Post) -> None:
    body = recorded("github-ping")
    headers = signed(Forge.GITHUB, body) | {"X-GitHub-Event": "ping"}
    assert outcome(post.send(body, headers, "/push/hello")) == (200, "nothing to do")
    assert outcome(post.send(b"{}", signed(Forge.GENERIC, b"{}"))) == (400, "no such message")


def test_without_its_secret_nothing_is_accepted_and_nobody_learns_where_it_should_be(
    post: Post, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLE, "")
    answer = post.push(commit())
    assert outcome(answer) == (503, "not written")
    assert VARIABLE not in answer.text


def test_a_journal_that_cannot_be_written_accepts_nothing(post: Post, tmp_path: Path) -> None:
    assert post.send(b"", {}, "/health", "GET").json() == {"journal": "can be written"}
    (tmp_path / "journal.db").unlink()
    (tmp_path / "journal.db").mkdir()
    assert outcome(post.push(commit())) == (503, "not written")
    assert post.send(b"", {}, "/health", "GET").status_code == 503


def test_it_counts_what_it_answered_and_what_waits(post: Post) -> None:
    post.push(commit())
    post.push(commit(), "elsewhere")
    post.push(commit())
    page = post.send(b"", {}, "/metrics", "GET").text
    assert 'bakewell_receiver_messages_total{outcome="accepted"} 2.0' in page
    assert 'bakewell_receiver_messages_total{outcome="nothing to do"} 1.0' in page
    assert 'bakewell_receiver_answer_seconds_bucket{le="0.1"}' in page
    assert "bakewell_pushes_pending 4.0" in page, "of two services each"
    assert "bakewell_pushes_oldest_seconds" in page


def test_a_changed_file_counts_at_once_and_a_broken_one_changes_nothing(
    post: Post, file: Path
) -> None:
    assert post.send(b"{}", {}, "/push/new").status_code == 404
    repositories_yaml(file, repository("new", URL))
    assert post.send(b"{}", {}, "/push/new").status_code == 401
    file.write_text("repositories: 7")
    assert post.send(b"{}", {}, "/push/new").status_code == 401


def test_it_does_not_begin_with_a_broken_file(file: Path, tmp_path: Path) -> None:
    file.write_text("repositories:\n  - name: shop\n    secret: hunter2\n")
    with pytest.raises(InvalidInputError) as refused, receiving(tmp_path):
        pass
    assert "repositories.yaml:3:13: repositories[0].secret" in str(refused.value)
    assert "hunter2" not in str(refused.value)


PATHS: Final = st.sampled_from(["/push/shop", "/push/hello", "/push/x", "/push/", "/health", "/"])
METHODS: Final = st.sampled_from(["POST", "POST", "POST", "GET", "PUT", "DELETE", "HEAD", "PATCH"])
HEADERS: Final = st.dictionaries(
    st.sampled_from(
        [
            *("X-GitHub-Event", "X-Hub-Signature-256", "X-GitHub-Delivery", "X-Bakewell-Signature"),
            *("webhook-id", "webhook-timestamp", "webhook-signature", "Content-Type", "X-Odd"),
        ]
    ),
    st.text(st.characters(min_codepoint=32, max_codepoint=255), max_size=40),
)
BODIES: Final = st.one_of(
    st.binary(max_size=200),
    st.sampled_from([recorded("github"), recorded("gitlab"), generic_push(URL, "f" * 40)]),
    st.recursive(
        st.none() | st.integers() | st.text(max_size=20),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(["ref", "after", "repository", "commits"]), inner, max_size=4
            )
        ),
        max_leaves=8,
    ).map(lambda value: json.dumps(value).encode()),
)


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(PATHS, METHODS, HEADERS, BODIES, st.booleans())
def test_whatever_is_sent_it_never_fails_and_accepts_nothing_unsigned(
    post: Post, path: str, method: str, headers: dict[str, str], body: bytes, is_signed: bool
) -> None:
    raw = {name: value.strip().encode("latin-1") for name, value in headers.items()}
    if is_signed:
        raw |= {name: value.encode() for name, value in signed(Forge.GENERIC, body).items()}
    before = post.journal.events()
    answer = post.send(body, raw, path, method)  # type: ignore[arg-type]
    assert answer.status_code < 500
    more = post.journal.events(after=before[-1].sequence if before else 0)
    assert bool(more) == (answer.status_code == 202)
    if more:
        assert is_signed
        assert path == "/push/shop"
        assert body == generic_push(URL, "f" * 40)
