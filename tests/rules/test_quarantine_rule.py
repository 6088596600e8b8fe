"""The rule of quarantines: what they hold, what they do not, and of what nobody could tell."""

from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.admit.contents import (
    base_of,
    dependencies_of,
    layers_of,
    places_of,
    repository_of_base,
    stands_on,
)
from tasks.admit.packages import contains, wanted
from tasks.admit.quarantine import Certainty, Contents, grounds, hits
from tasks.errors import InvalidInputError
from tasks.evidence import Package, Quarantine, QuarantineKind
from tests.support.events import NOON, artifact

MINE, BASE, OTHER = (artifact(number).digest for number in (1, 2, 3))
LEAKY = Package("leaky", "1.0", "pkg:pypi/leaky@1.0")
INSIDE = Contents(MINE, frozenset({BASE}), ("a", "b", "c"), frozenset({LEAKY}))


def quarantine(kind: QuarantineKind, what: str, *layers: tuple[str, ...]) -> Quarantine:
    return Quarantine(kind, what, "stolen key", "ada", NOON, NOON + timedelta(days=1), layers)


def certainty(one: Quarantine, inside: Contents) -> Certainty | None:
    found = hits([one], inside, NOON)
    return found[0].certainty if found else None


# ---- artifacts and bases -------------------------------------------------------------------------


def test_a_digest_is_held_by_its_own_quarantine_and_by_no_other() -> None:
    assert certainty(quarantine(QuarantineKind.ARTIFACT, MINE), INSIDE) is Certainty.HELD
    assert certainty(quarantine(QuarantineKind.ARTIFACT, OTHER), INSIDE) is None
    assert certainty(quarantine(QuarantineKind.ARTIFACT, BASE), INSIDE) is None, "not a base's"


def test_what_names_the_base_or_begins_with_its_layers_stands_on_it() -> None:
    kind = QuarantineKind.BASE
    assert certainty(quarantine(kind, BASE), INSIDE) is Certainty.HELD
    assert certainty(quarantine(kind, MINE), INSIDE) is Certainty.HELD, "the base itself"
    assert certainty(quarantine(kind, OTHER, ("a", "b")), INSIDE) is Certainty.HELD
    assert certainty(quarantine(kind, OTHER, ("x",), ("a",)), INSIDE) is Certainty.HELD
    for layers in (("b",), ("a", "c"), ("a", "b", "c", "d"), ()):
        assert certainty(quarantine(kind, OTHER, layers), INSIDE) is None, layers


def test_layers_that_could_not_be_read_are_no_proof_that_it_stands_elsewhere() -> None:
    unread = replace(INSIDE, layers=None, layers_unread="its manifest is not there")
    one = quarantine(QuarantineKind.BASE, OTHER, ("a",))
    (hit,) = hits([one], unread, NOON)
    assert (hit.certainty, hit.why) == (Certainty.COULD_NOT_TELL, "its manifest is not there")
    assert certainty(quarantine(QuarantineKind.BASE, BASE), unread) is Certainty.HELD


def test_a_base_of_a_base_that_cannot_be_read_matters_only_while_layers_cannot_tell() -> None:
    partly = replace(INSIDE, bases_unread="its base cannot be read")
    kind = QuarantineKind.BASE
    assert certainty(quarantine(kind, OTHER), partly) is Certainty.COULD_NOT_TELL
    assert certainty(quarantine(kind, OTHER, ("x",)), partly) is None
    assert certainty(quarantine(kind, OTHER), INSIDE) is None


# ---- packages ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("what", "package"),
    [
        ("leaky@1.0", LEAKY),
        ("Leaky@1.0.0", LEAKY),
        ("leaky@*", LEAKY),
        ("pkg:pypi/leaky@1.0", LEAKY),
        ("pkg:pypi/Leaky@1.0?extension=whl#part", LEAKY),
        ("Foo.Bar_baz@2", Package("foo-bar-baz", "2", "pkg:pypi/foo-bar-baz@2")),
        ("openssl@3.0.11-1", Package("openssl", "3.0.11-1")),
        ("openssl@1:3.0-1", Package("openssl", "1:3.0-1", "pkg:deb/debian/openssl@3.0-1?epoch=1")),
        ("openssl@3.0-1", Package("openssl", "1:3.0-1", "pkg:deb/debian/openssl@3.0-1?epoch=1")),
        ("@babel/core@7.0.0", Package("@babel/core", "7.0.0", "pkg:npm/%40babel/core@7.0.0")),
        ("pkg:npm/%40babel/core@7.0.0", Package("core", "7.0.0", "pkg:npm/%40babel/core@7.0.0")),
        ("org.x:log4j@2.0", Package("org.x/log4j", "2.0", "pkg:maven/org.x/log4j@2.0")),
        ("pkg:golang/github.com/a/b@v1", Package("b", "v1", "pkg:golang/github.com/a/b@v1")),
    ],
)
def test_a_package_is_found_by_each_of_its_names(what: str, package: Package) -> None:
    assert contains(package, wanted(what))


@pytest.mark.parametrize(
    ("what", "package"),
    [
        ("leaky@1.1", LEAKY),
        ("leak@1.0", LEAKY),
        ("pkg:npm/leaky@1.0", LEAKY),
        ("core@7.0.0", Package("@babel/core", "7.0.0", "pkg:npm/%40babel/core@7.0.0")),
        ("Leaky@1.0", Package("leaky", "1.0", "pkg:npm/leaky@1.0")),
        ("leaky@1.0.0", Package("leaky", "1.0")),
        ("leaky@not-a-version", LEAKY),
    ],
)
def test_another_package_is_not_taken_for_it(what: str, package: Package) -> None:
    assert not contains(package, wanted(what))


@pytest.mark.parametrize(
    "what", ["", "leaky", "@", "@1.0", "leaky@", "pkg:pypi/leaky", "pkg:leaky@1", "a b@1", "a@1\n"]
)
def test_what_names_no_package_is_refused_with_the_right_form(what: str) -> None:
    with pytest.raises(InvalidInputError, match="NAME@VERSION"):
        wanted(what)


def test_without_a_bill_of_materials_nobody_can_tell() -> None:
    """Not seeing is not absence: it is refused, and says why."""
    one = quarantine(QuarantineKind.PACKAGE, "leaky@1.0")
    assert certainty(one, INSIDE) is Certainty.HELD
    assert certainty(one, replace(INSIDE, packages=frozenset())) is None
    unknown = replace(INSIDE, packages=None, packages_unread="its bill was altered")
    (hit,) = hits([one], unknown, NOON)
    assert (hit.certainty, hit.why) == (Certainty.COULD_NOT_TELL, "its bill was altered")
    (ground,) = grounds([hit])
    assert ground.why.startswith(
        "nobody could tell whether the quarantine of the package leaky@1.0 holds it, because its bill was altered"
    )


# ---- what is read --------------------------------------------------------------------------------


def test_bases_and_layers_are_where_the_specifications_put_them() -> None:
    manifest = {
        "annotations": {
            "org.opencontainers.image.base.digest": BASE,
            "org.opencontainers.image.base.name": "registry.example:5000/python:3.12-slim",
        }
    }
    assert base_of(manifest) == BASE
    assert repository_of_base(manifest) == "registry.example:5000/python"
    for name in ("r.example:5000/python", "python:3@sha256:1", "python", "layout:/base"):
        said = {"annotations": {"org.opencontainers.image.base.name": name}}
        bare = {"python:3@sha256:1": "python"}.get(name, name)
        assert repository_of_base(said) == bare
    assert (base_of({}), repository_of_base({})) == ("", "")
    assert layers_of({"rootfs": {"diff_ids": ["a", "b"]}}) == ("a", "b")
    assert layers_of({}) == ()
    provenance = {
        "buildDefinition": {
            "resolvedDependencies": [
                {"uri": "oci://base", "digest": {"sha256": "ab"}},
                {"uri": "git+https://x", "digest": {"gitCommit": "cd"}},
                {"uri": "nothing"},
            ]
        }
    }
    assert dependencies_of(provenance) == {"sha256:ab"}
    assert dependencies_of({}) == frozenset()


def test_where_a_base_lies_is_what_its_uri_says_if_others_can_find_it_too() -> None:
    uris = ["oci://r.example:5000/python@sha256:1", "oci://layout:/bases@sha256:2"]
    others = ["oci://layout:../bases@sha256:3", "git+https://x@sha256:4", "oci://nameless"]
    listed = [{"uri": uri} for uri in (*uris, *others)]
    assert places_of({"buildDefinition": {"resolvedDependencies": listed}}) == {
        "sha256:1": "r.example:5000/python",
        "sha256:2": "layout:/bases",
    }
    assert places_of({}) == {}


# ---- words ---------------------------------------------------------------------------------------


def test_a_refusal_names_the_quarantine_who_until_when_and_the_way_out() -> None:
    (ground,) = grounds(hits([quarantine(QuarantineKind.PACKAGE, "leaky@*")], INSIDE, NOON))
    for words in (
        "it contains leaky 1.0",
        "by ada since 2026-03-01 12:00 UTC",
        "until 2026-03-02 12:00 UTC",
        "stolen key",
        "release a version without it",
        "`bakewell quarantine lift --package leaky@* --reason …`",
    ):
        assert words in ground.why
    assert (ground.demand, ground.subject) == ("quarantine", "leaky@*")


def test_nothing_in_force_refuses_nothing() -> None:
    assert grounds(hits([], INSIDE, NOON)) == ()


# ---- properties ----------------------------------------------------------------------------------

letters = st.sampled_from("abcd")
stacks = st.lists(letters, max_size=4).map(tuple)
kinds = st.sampled_from(
    [
        (QuarantineKind.ARTIFACT, MINE),
        (QuarantineKind.ARTIFACT, OTHER),
        (QuarantineKind.BASE, BASE),
        (QuarantineKind.BASE, OTHER),
        (QuarantineKind.PACKAGE, "leaky@1.0"),
        (QuarantineKind.PACKAGE, "other@*"),
    ]
)
quarantines = st.lists(
    st.builds(
        lambda key, hours, layers: Quarantine(
            key[0],
            key[1],
            "stolen key",
            "ada",
            NOON,
            None if hours is None else NOON + timedelta(hours=hours),
            tuple(layers) if key[0] is QuarantineKind.BASE else (),
        ),
        kinds,
        st.none() | st.integers(0, 10),
        st.lists(stacks, max_size=2),
    ),
    max_size=6,
)
contents = st.builds(
    lambda digest, bases, layers, packages: Contents(digest, bases, layers, packages),
    st.sampled_from([MINE, OTHER]),
    st.frozensets(st.sampled_from([BASE, OTHER])),
    st.none() | stacks,
    st.none() | st.frozensets(st.sampled_from([LEAKY, Package("other", "3")])),
)


@given(quarantines, contents, st.integers(0, 12))
def test_only_what_is_in_force_holds_and_each_alone_decides_as_it_does_among_others(
    said: list[Quarantine], inside: Contents, hours: int
) -> None:
    now = NOON + timedelta(hours=hours)
    found = hits(said, inside, now)
    assert all(hit.quarantine.in_force(now) for hit in found)
    alone = [hit for one in said for hit in hits([one], inside, now)]
    assert sorted(map(str, found)) == sorted(map(str, alone))
    order = [hit.certainty for hit in found]
    assert order == sorted(order, key=lambda one: one is not Certainty.HELD)
    assert len(grounds(found)) == len(found)


@given(quarantines, contents)
def test_knowing_less_of_an_artifact_never_lets_it_in(
    said: list[Quarantine], inside: Contents
) -> None:
    """Fail closed: whoever is refused with everything read is refused with anything unread."""
    refused = bool(hits(said, inside, NOON))
    for less in (
        replace(inside, packages=None),
        replace(inside, layers=None),
        replace(inside, bases_unread="its base cannot be read"),
    ):
        assert bool(hits(said, less, NOON)) or not refused


@given(stacks, stacks)
def test_to_stand_on_something_is_to_begin_with_all_of_it(
    below: list[str], above: list[str]
) -> None:
    assert stands_on((*below, *above), below) == bool(below)
    assert not stands_on(below[:-1], below)
