"""Which artifact a person means, in every form; and what they are told instead of a guess."""

import pytest

from flows.naming import artifact_named, wanted
from tasks.errors import InvalidInputError, NotFoundError
from tasks.journal.rules import State, fold
from tasks.model import Artifact
from tests.support.told import Told, artifact, three_releases

DIGEST = "hello@sha256:" + "a" * 64


def named(words: str, state: State | None = None) -> Artifact:
    (one,) = wanted(words.split())
    return artifact_named(one, state or fold(three_releases().events))


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ("", []),
        ("hello", ["hello"]),
        ("hello r3", ["hello r3"]),
        ("hello r3 r4", ["hello r3", "hello r4"]),
        ("hello r3 hello r4", ["hello r3", "hello r4"]),
        ("hello other", ["hello", "other"]),
        ("hello other r1", ["hello", "other r1"]),
        (f"{DIGEST} hello", [DIGEST, "hello"]),
        (f"hello {DIGEST}", ["hello", DIGEST]),
        (f"hello r3 {DIGEST}", ["hello r3", DIGEST]),
        (f"{DIGEST} {DIGEST}", [DIGEST, DIGEST]),
    ],
)
def test_words_are_one_artifact_or_several(words: str, found: list[str]) -> None:
    assert [one.reference for one in wanted(words.split())] == found


@pytest.mark.parametrize("words", ["r3", f"{DIGEST} r3"])
def test_a_release_without_its_service_is_refused(words: str) -> None:
    with pytest.raises(InvalidInputError, match="of which service"):
        wanted(words.split())


def test_a_release_is_its_artifact() -> None:
    assert named("hello r3") == artifact(3)


def test_a_digest_is_found_where_the_journal_knows_it_and_else_in_the_embedded_store() -> None:
    assert named(artifact(3).digest.join(("hello@", ""))) == artifact(3)
    assert named(DIGEST).repository.endswith("artifacts/hello")
    assert named(f"registry.example/x@sha256:{'a' * 64}").repository == "registry.example/x"


def test_a_service_is_what_runs_if_that_is_one_artifact() -> None:
    told = Told()
    told.start(1)
    told.roll_out(1, "staging")
    told.roll_out(1, "production")
    assert named("hello", fold(told.events)) == artifact(1)


def test_a_service_that_runs_two_asks_which() -> None:
    """r3 is in staging, r2 still in production."""
    with pytest.raises(
        InvalidInputError, match=r"more than one artifact: hello@sha256:3+ in staging"
    ):
        named("hello")


def test_a_service_that_runs_nothing_says_what_to_name() -> None:
    told = Told()
    told.start(1)
    with pytest.raises(InvalidInputError, match="nothing of hello runs; name a release"):
        named("hello", fold(told.events))


@pytest.mark.parametrize(
    ("words", "match"),
    [("unknown", "never released here"), ("hello r9", "has no release r9; it has r1, r2, r3")],
)
def test_what_is_not_known_is_said_with_what_is(words: str, match: str) -> None:
    with pytest.raises(NotFoundError, match=match):
        named(words)
