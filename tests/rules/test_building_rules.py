"""Around a build: whether a secret ended in it, names that are swept, keys of its inputs, and what two bakes differ in."""

import base64
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.bake.differences import (
    Aspect,
    PackedLayer,
    Seen,
    Unlike,
    unlike_layers,
    unlike_settings,
)
from tasks.bake.leaks import leaked, needles
from tasks.bake.normal import Member, MemberKind
from tasks.bake.rules import Entry, EntryKind, build_key
from tasks.bake.staging import is_abandoned, is_in_registry, staging_repository, staging_tag
from tasks.errors import InvalidInputError
from tasks.materials import Materials
from tasks.recipes import DockerfileBake
from tests.support.dockerfiles import docker_service

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)

# ---- secrets -------------------------------------------------------------------------------------

VALUE = b"swordfish-42"


@pytest.mark.parametrize(
    "written",
    [
        b"TOKEN=swordfish-42\n",
        base64.b64encode(VALUE),
        base64.b64encode(VALUE + b"\n"),
        b"x" * 100 + VALUE,
    ],
)
def test_a_secret_is_found_however_it_was_written(written: bytes) -> None:
    assert leaked([written], {"token": needles("token", VALUE + b"\n")}) == "token"


def test_a_line_of_a_key_is_found_by_itself() -> None:
    lines = [b"MIIEvQIBADANBgkqhkiG9w0BAQEFAASC", b"BKcwggSjAgEAAoIBAQC7VJTUt9Us8cKj"]
    key = b"-----BEGIN PRIVATE KEY-----\n" + b"\n".join(lines) + b"\n-----END PRIVATE KEY-----\n"
    assert leaked([b"a" + lines[1]], {"key": needles("key", key)}) == "key"
    assert leaked([b"-----BEGIN PRIVATE KEY-----"], {"key": needles("key", key)}) is None


@given(st.integers(1, 40), st.binary(max_size=30), st.binary(max_size=30))
def test_a_secret_is_found_wherever_the_parts_are_cut(
    size: int, before: bytes, after: bytes
) -> None:
    whole = before + VALUE + after
    parts = [whole[at : at + size] for at in range(0, len(whole), size)]
    assert leaked(parts, {"token": needles("token", VALUE)}) == "token"


def test_a_secret_too_short_to_be_told_from_other_bytes_is_refused() -> None:
    with pytest.raises(InvalidInputError, match="has 3 bytes"):
        needles("pin", b" 123\n")
    assert leaked([b"nothing"], {"token": needles("token", VALUE)}) is None


# ---- staging -------------------------------------------------------------------------------------


def test_only_what_is_ours_and_old_is_swept() -> None:
    tag = staging_tag(NOW, "0a1b2c3d")
    assert tag == "b-20260301t120000z-0a1b2c3d"
    assert not is_abandoned(tag, NOW + timedelta(hours=23))
    assert is_abandoned(tag, NOW + timedelta(hours=25))
    for other in ("latest", "b-1", "k-0a1b", "b-20269999t999999z-1"):
        assert not is_abandoned(other, NOW + timedelta(days=999))


def test_staging_is_beside_the_repository_never_in_it() -> None:
    assert staging_repository("host/team/hello", "hello") == "host/team/hello-staging"
    assert staging_repository("layout:/x/hello", "hello") == "bakewell-staging/hello"
    assert not is_in_registry("memory:x")


# ---- keys ----------------------------------------------------------------------------------------

ENTRY = Entry("app/run.sh", EntryKind.FILE, 0o755, "ab" * 32, 3)
CHANGES: list[dict[str, Any]] = [
    {"dockerfile": "Other"},
    {"target": "slim"},
    {"arguments": {"A": "1"}},
    {"secrets": {"token": {"variable": "TOKEN"}}},
    {"environment": {"A": "1"}},
    {"port": 9000},
    {"command": ["/bin/other"]},
    {"health": "/"},
    {"grace_seconds": 1},
]


def key(*entries: Entry, **recipe: Any) -> str:
    spec = docker_service(**recipe)
    assert isinstance(spec.bake, DockerfileBake)
    return build_key(spec, spec.bake, entries or (ENTRY,))


def test_every_setting_and_every_file_has_a_part_in_the_key() -> None:
    keys = [key(), key(Entry("app/run.sh", EntryKind.FILE, 0o644, "ab" * 32, 3))]
    keys += [key(Entry("app/run.sh", EntryKind.FILE, 0o755, "cd" * 32, 3))]
    keys += [key(**change) for change in CHANGES]
    assert len(set(keys)) == len(keys)


def test_where_a_secret_is_kept_has_none() -> None:
    here, there = ({"token": {"file": name}} for name in ("a", "b"))
    assert key(secrets=here) == key(secrets=there)


def test_all_images_that_went_in_are_known_by_digest_each_once() -> None:
    one, two = f"host/a@sha256:{'1' * 64}", f"host/b@sha256:{'2' * 64}"
    found = Materials(one, images=(two, one.replace("/a", "/c"))).bases
    assert found == (f"sha256:{'1' * 64}", f"sha256:{'2' * 64}")
    assert Materials("scratch").bases == ()


# ---- two bakes -----------------------------------------------------------------------------------


def seen(sha256: str = "1", **member: Any) -> Seen:
    return Seen(
        Member(**{"path": "a", "kind": MemberKind.FILE, "mode": 0o644, "place": 0, **member}),
        sha256,
    )


@pytest.mark.parametrize(
    ("second", "aspects"),
    [
        (seen("2"), (Aspect.CONTENT,)),
        (seen(mode=0o755), (Aspect.MODE,)),
        (seen(owner=5), (Aspect.OWNER,)),
        (seen(attributes=(("security.capability", "x"),)), (Aspect.ATTRIBUTES,)),
        (seen("", kind=MemberKind.SYMLINK, link="b"), (Aspect.KIND, Aspect.CONTENT, Aspect.LINK)),
        (None, (Aspect.ONLY_FIRST,)),
    ],
)
def test_how_a_file_differs_is_told(second: Seen | None, aspects: tuple[Aspect, ...]) -> None:
    one = PackedLayer("layer 1", "x", {"a": seen(), "b": seen()})
    other = PackedLayer("layer 1", "y", {"b": seen(place=7), **({"a": second} if second else {})})
    assert unlike_layers([one], [other]) == (Unlike("layer 1", "a", aspects),)


def test_a_layer_that_only_one_has_and_a_layer_of_one_digest() -> None:
    same, more = PackedLayer("base", "x", {}), PackedLayer("layer 1", "y", {"a": seen()})
    assert unlike_layers([same, more], [same]) == (Unlike("layer 1", "a", (Aspect.ONLY_FIRST,)),)
    assert unlike_layers([same], [same, more]) == (Unlike("layer 1", "a", (Aspect.ONLY_SECOND,)),)
    assert unlike_layers([same, more], [same, more]) == ()


def test_settings_that_differ_are_named() -> None:
    first, second = {"config.Env": ["A=1"], "os": "linux"}, {"config.Env": ["A=2"], "os": "linux"}
    assert [one.path for one in unlike_settings(first, second)] == ["config.Env"]
