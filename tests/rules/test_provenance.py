"""Provenance: what we write we read back as it was; what others write tells its source; what is none is None."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.evidence import KeyRole, Provenance
from tasks.materials import Ingredient, Materials
from tasks.model import Source
from tasks.sign.provenance import (
    BUILDER,
    DOCKERFILE_TYPE,
    FILES_AT_MOST,
    Making,
    names_source,
    provenance,
    read_provenance,
)
from tests.support.baking import service
from tests.support.dockerfiles import docker_service
from tests.support.provenances import AT, BASE, COMMIT, MAKING, MATERIALS, SOURCE, chains, github


def predicate(
    source: Source = SOURCE, materials: Materials = MATERIALS, making: Making = MAKING
) -> dict[str, Any]:
    """As it comes out of the store: through JSON."""
    said = provenance(service(base=materials.base), source, materials, making)
    found: dict[str, Any] = json.loads(json.dumps(said.predicate))
    return found


def dependencies(said: Mapping[str, Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = said["buildDefinition"]["resolvedDependencies"]
    return found


def read(said: Mapping[str, Any]) -> Provenance:
    found = read_provenance(said)
    assert found is not None
    return found


def test_it_tells_everything_that_went_in_and_reads_back_the_same() -> None:
    assert read(predicate()) == Provenance(
        repository="https://git.example/team/hello.git",
        commit=COMMIT,
        dirty=False,
        builder=BUILDER,
        bases=("sha256:" + "b" * 64,),
        base_names=(BASE,),
        packages=("pkg:pypi/itsdangerous@2.2.0", "pkg:pypi/many@1.0%2Blocal"),
        files=2,
        started_at=AT,
        finished_at=AT + timedelta(seconds=4),
        invocation=MAKING.invocation,
        versions=MAKING.versions,
    )


def test_a_dockerfile_tells_all_its_images_and_who_built_it_and_is_not_said_to_execute_nothing() -> (
    None
):
    tools = "registry.example/tools@sha256:" + "d" * 64
    went_in = replace(MATERIALS, images=(tools,), builder=(("dockerfile-builder", "buildkit"),))
    spec = docker_service(arguments={"VERSION": "3"}, secrets={"token": {"variable": "TOKEN"}})
    said = provenance(spec, SOURCE, went_in, MAKING).predicate
    assert said["buildDefinition"]["buildType"] == DOCKERFILE_TYPE
    assert said["buildDefinition"]["externalParameters"]["bake"]["arguments"] == {"VERSION": "3"}
    found = read(json.loads(json.dumps(said)))
    assert found.source == SOURCE
    assert found.bases == ("sha256:" + "b" * 64, "sha256:" + "d" * 64)
    assert found.base_names == (BASE, tools)
    assert ("dockerfile-builder", "buildkit") in found.versions


names = st.text(st.characters(codec="utf-8"), min_size=1, max_size=40)
hexes = st.text("0123456789abcdef", min_size=64, max_size=64)
commits = st.text("0123456789abcdef", min_size=40, max_size=40)
zones = st.sampled_from([UTC, timezone(timedelta(hours=9))])
moments = st.builds(datetime.fromtimestamp, st.floats(1.5e9, 4e9), zones)
sources = st.one_of(
    st.builds(Source, names, commits, st.booleans()),
    st.builds(Source, names, st.just(""), st.just(True)),
)
materials = st.builds(
    Materials,
    st.sampled_from(["scratch", BASE, "layout:base@sha256:" + "9" * 64]),
    st.lists(
        st.builds(
            Ingredient,
            st.from_regex(r"[a-z][a-z0-9-]{0,9}", fullmatch=True),
            st.just("1!2.0"),
            hexes,
        ),
        max_size=4,
    ).map(tuple),
    st.lists(st.tuples(names, hexes), max_size=5, unique_by=lambda one: one[0]).map(tuple),
    st.just("cp311-linux-x86_64"),
)
makings = st.builds(
    Making, moments, moments, names, hexes, st.booleans(), st.just((("bakewell", "0.2.0"),))
)


@given(sources, materials, makings)
def test_whatever_is_written_is_read_back(
    source: Source, went_in: Materials, making: Making
) -> None:
    found = read(predicate(source, went_in, making))
    assert found.source == source
    assert (found.started_at, found.finished_at) == (making.started_at, making.finished_at)
    assert found.invocation == making.invocation
    assert found.versions == making.versions
    assert list(found.packages) == [f"pkg:pypi/{one.name}@1%212.0" for one in went_in.packages]
    assert found.files == len(went_in.files)
    bases = [] if went_in.base == "scratch" else [went_in.base]
    assert list(found.base_names) == bases
    assert list(found.bases) == [one.rpartition("@")[2] for one in bases]


@pytest.mark.parametrize(
    ("repository", "uri"),
    [
        ("https://git.example/a.git", f"git+https://git.example/a.git@{COMMIT}"),
        ("git@git.example:team/a.git", f"git+ssh://git@git.example/team/a.git@{COMMIT}"),
        ("ssh://git@git.example/a.git", f"git+ssh://git@git.example/a.git@{COMMIT}"),
        ("/mirrors/my a.git", f"git+file:///mirrors/my%20a.git@{COMMIT}"),
        ("hello", f"git+file:///hello@{COMMIT}"),
    ],
)
def test_every_form_of_a_repository_becomes_a_uri(repository: str, uri: str) -> None:
    told = dependencies(predicate(Source(repository, COMMIT, True)))[0]
    assert told == {
        "name": "source",
        "uri": uri,
        "digest": {"gitCommit": COMMIT},
        "annotations": {"dirty": True},
    }


def test_a_tree_outside_git_has_no_digest_of_its_own() -> None:
    said = predicate(Source("hello", "", True))
    assert dependencies(said)[0] == {"name": "source", "annotations": {"dirty": True}}
    assert read(said).source == Source("hello", "", True)


def test_a_package_names_its_wheel_or_those_it_may_have_been() -> None:
    known, unknown = [one for one in dependencies(predicate()) if "pypi" in one.get("uri", "")]
    assert known["digest"] == {"sha256": "c" * 64}
    assert "digest" not in unknown
    assert unknown["annotations"] == {"one of these sha256": ["d" * 64, "e" * 64]}


def test_very_many_files_are_told_as_one_list_that_sha256sum_can_repeat() -> None:
    files = tuple((f"/app/{number:05}", f"{number:064x}") for number in range(FILES_AT_MOST + 1))
    said = predicate(materials=replace(MATERIALS, files=files))
    (told,) = [one for one in dependencies(said) if one.get("name") == "files"]
    lines = "".join(f"{sha256}  {path}\n" for path, sha256 in files)
    assert told["digest"] == {"sha256": hashlib.sha256(lines.encode()).hexdigest()}
    assert told["annotations"]["count"] == FILES_AT_MOST + 1
    assert read(said).files == FILES_AT_MOST + 1


def test_the_builder_says_it_and_nobody_else() -> None:
    said = provenance(service(), SOURCE, MATERIALS, MAKING)
    assert said.role is KeyRole.BUILDER
    assert said.predicate_type == "https://slsa.dev/provenance/v1"


def test_githubs_provenance_tells_its_source() -> None:
    found = read(github())
    assert found.source == Source("https://github.com/team/hello", COMMIT, False)
    assert found.invocation.endswith("/runs/11/attempts/1")
    assert found.started_at is None


def test_tektons_provenance_tells_its_source_base_and_packages() -> None:
    found = read(chains())
    assert found.source == Source("ssh://git@git.example/team/hello.git", COMMIT, False)
    assert found.bases == ("sha256:" + "b" * 64,)
    assert found.packages == ("pkg:npm/%40team/left-pad@1.3.0?checksum=x",)
    assert found.started_at == datetime(2026, 3, 1, 12, 30, 5, tzinfo=UTC)


@pytest.mark.parametrize(
    ("digest", "expected"),
    [
        ({"gitCommit": f"{COMMIT}-dirty"}, Source("https://github.com/team/hello", COMMIT, True)),
        ({}, Source("https://github.com/team/hello", "", True)),
        ({"gitCommit": "main"}, Source("https://github.com/team/hello", "", True)),
    ],
)
def test_no_commit_and_a_dirty_one_are_never_clean(
    digest: dict[str, str], expected: Source
) -> None:
    said = github()
    dependencies(said)[0]["digest"] = digest
    assert read(said).source == expected


def test_ours_is_clean_only_if_it_says_so() -> None:
    said = predicate()
    for odd in (None, "no", 0):
        said["buildDefinition"]["externalParameters"]["source"]["dirty"] = odd
        assert read(said).dirty, odd


def broken() -> list[tuple[str, Any]]:
    nameless, numbers, when = github(), predicate(), predicate()
    dependencies(nameless).clear()
    numbers["buildDefinition"]["resolvedDependencies"] = 7
    when["runDetails"]["metadata"]["startedOn"] = "yesterday"
    return [
        ("empty", {}),
        ("names no source", nameless),
        ("dependencies are no list", numbers),
        ("a time that is none", when),
        ("parts of another kind", {"buildDefinition": [], "runDetails": "x"}),
        ("no builder", {**predicate(), "runDetails": {}}),
        ("null", {"buildDefinition": None, "runDetails": None}),
    ]


@pytest.mark.parametrize(("what", "said"), broken(), ids=[what for what, _ in broken()])
def test_what_cannot_be_understood_is_none(what: str, said: dict[str, Any]) -> None:
    assert read_provenance(said) is None, what


def test_a_source_is_named_only_by_provenance_of_that_very_source() -> None:
    assert names_source([{}, predicate()], SOURCE)
    assert not names_source([predicate()], replace(SOURCE, dirty=True))
    assert not names_source([predicate()], replace(SOURCE, commit="1" * 40))
    assert not names_source([{}], SOURCE)
