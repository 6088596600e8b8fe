"""Quarantining by a home of one's own: what is refused before a line is written, and what of an artifact is read."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from flows.command import Exit, run
from flows.contents import contents_of, layers_of_base
from flows.quarantine import Lookout, held_by, in_force, known, quarantined
from flows.quarantining import Target, add, lift, target_of
from tasks import oci, platforms
from tasks.adapters.memory_store import MemoryStore, store_named
from tasks.admit.contents import BASE_DIGEST, BASE_NAME
from tasks.admit.quarantine import Certainty
from tasks.errors import InvalidInputError, NotFoundError, TransientError
from tasks.evidence import Attested, Dossier, Kind, Package, Proof, QuarantineKind, Statement
from tasks.journal.rules import EVERY_SERVICE, BakedBody, record
from tasks.model import Artifact, Verdict
from tasks.ports import ArtifactStore
from tasks.sign import evidence
from tests.support.events import NOON, SOURCE, artifact

EVERYTHING = frozenset(QuarantineKind)
DIGEST = artifact(1).digest


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("BAKEWELL_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def lines() -> int:
    return len(platforms.journal().events())


# ---- what is refused, and what is not ------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (("", "", ""), "0 things at once"),
        ((DIGEST, DIGEST, ""), "2 things at once"),
        (("nonsense", "", ""), "is no digest; write `sha256:`"),
        (("sha256:ABC", "", ""), "64 lower-case hex digits"),
        (("hello@sha256:12", "", ""), "by digest"),
        (("", "python:3.12", ""), "is no digest"),
        (("", "", "leaky"), "NAME@VERSION"),
    ],
)
def test_what_names_nothing_is_refused_with_the_right_form(
    given: tuple[str, str, str], words: str
) -> None:
    with pytest.raises(InvalidInputError, match=words):
        target_of(*given)


def test_a_short_digest_is_not_guessed_but_the_whole_one_is_named() -> None:
    record(platforms.journal(), "hello", "", "", BakedBody(SOURCE, artifact(10**40), False))
    whole = artifact(10**40).digest
    with pytest.raises(InvalidInputError, match=f"Did you mean {whole}"):
        target_of(whole[:40], "", "")


def test_a_tag_is_quarantined_as_the_digest_it_is_today(home: Path) -> None:
    repository = f"layout:{home}/somewhere"
    digest = image(platforms.store(repository), ["a"], tag="v1")
    assert target_of(f"{repository}:v1", "", "") == Target(
        QuarantineKind.ARTIFACT, digest, repository
    )
    with pytest.raises(NotFoundError, match="no tag 'v2'"):
        target_of(f"{repository}:v2", "", "")


def test_without_a_reason_or_with_an_end_that_is_over_nothing_is_written() -> None:
    target = target_of(DIGEST, "", "")
    with pytest.raises(InvalidInputError, match="say why with --reason"):
        add(target, "  ", None)
    with pytest.raises(InvalidInputError, match="which is over"):
        add(target, "stolen key", datetime.now(UTC) - timedelta(seconds=1))
    with pytest.raises(InvalidInputError, match="say why with --reason"):
        lift(target, "")
    assert lines() == 0


def test_a_digest_nobody_has_seen_may_be_quarantined_and_that_is_said(
    caplog: pytest.LogCaptureFixture,
) -> None:
    made = add(target_of(DIGEST, "", ""), "stolen key", None, "ada")
    assert (made.by, made.reason, made.until) == ("ada", "stolen key", None)
    assert "was never baked or released here" in caplog.text
    assert in_force(datetime.now(UTC)) == (made,)


def test_the_same_again_writes_nothing_and_other_words_replace_it() -> None:
    target = target_of(DIGEST, "", "")
    made = add(target, "stolen key", None, "ada")
    assert add(target, "stolen key", None, "bob") == made
    assert lines() == 1
    other = add(target, "stolen key, it is certain", None, "bob")
    assert known() == (other,)
    assert lines() == 2


def test_what_is_not_quarantined_cannot_be_lifted_and_what_is_is_named() -> None:
    add(target_of("", "", "leaky@1.0"), "stolen key", None)
    with pytest.raises(NotFoundError, match=r"is not quarantined; in force are `--package leaky@1"):
        lift(target_of(DIGEST, "", ""), "a false alarm")
    lift(target_of("", "", "leaky@1.0"), "a false alarm")
    with pytest.raises(NotFoundError, match="no quarantine is in force"):
        lift(target_of("", "", "leaky@1.0"), "a false alarm")
    assert lines() == 2


def test_the_command_says_what_is_quarantined_and_ends_it(
    capsys: pytest.CaptureFixture[str],
) -> None:
    until = "2100-01-31T12:00"
    command = ["quarantine", DIGEST, "--reason", "stolen key", "--until", until, "--json"]
    assert run(command) == Exit.DONE
    made = json.loads(capsys.readouterr().out)
    assert (made["kind"], made["what"], made["runs"]) == ("artifact", DIGEST, [])
    assert made["until"] == "2100-01-31T12:00:00+00:00"
    assert run(["quarantine", "list"]) == Exit.DONE
    shown = capsys.readouterr().out
    for words in (DIGEST, "stolen key", "until 2100-01-31 12:00:00 UTC", "runs nowhere"):
        assert words in shown
    assert run(["status"]) == Exit.DONE
    assert "1 quarantine in force" in capsys.readouterr().out
    assert run(["quarantine", "lift", DIGEST, "--reason", "a false alarm"]) == Exit.DONE
    assert run(["quarantine", "list", "--json"]) == Exit.DONE
    assert json.loads(capsys.readouterr().out.partition("\n")[2]) == []
    assert run(["quarantine", "lift", DIGEST, "--reason", "again"]) == Exit.BAD_INPUT
    assert run(["quarantine", DIGEST]) == Exit.BAD_INPUT, "without a reason"


# ---- what is read of an artifact -----------------------------------------------------------------


def image(
    store: ArtifactStore, layers: list[str], tag: str | None = None, **annotations: str
) -> str:
    """A small image: its diff ids are said, its layers are not needed. Its digest."""
    config = oci.canonical({"rootfs": {"type": "layers", "diff_ids": layers}})
    described = oci.to_json(store.put_blob(config))
    manifest: dict[str, Any] = {
        "schemaVersion": 2,
        "mediaType": oci.MANIFEST,
        "config": {**described, "mediaType": oci.CONFIG},
        "layers": [],
        "annotations": {name.replace("_", "."): text for name, text in annotations.items()},
    }
    return store.put_manifest(oci.canonical(manifest), tag)


def on(base: str, repository: str = "") -> dict[str, str]:
    named = {BASE_NAME: repository} if repository else {}
    return {BASE_DIGEST: base, **named}


def dossier(of: Artifact, *said: tuple[Kind, Mapping[str, Any], Proof]) -> Dossier:
    attested = tuple(
        Attested(kind, "", proof, "as the test has it", DIGEST, "", predicate)
        for kind, predicate, proof in said
    )
    return Dossier(of, (), attested)


@pytest.fixture
def shelf(tmp_path: Path) -> MemoryStore:
    return store_named(f"memory:{tmp_path}")


def artifact_in(store: ArtifactStore, digest: str) -> Artifact:
    return Artifact("hello", digest, store.repository)


def test_a_base_of_a_base_is_found_by_what_each_says_of_itself(shelf: MemoryStore) -> None:
    lowest = image(shelf, ["a"])
    middle = image(shelf, ["a", "b"], **on(lowest))
    mine = artifact_in(shelf, image(shelf, ["a", "b", "c"], **on(middle)))
    inside = contents_of(mine, EVERYTHING, dossier(mine))
    assert inside.bases == {lowest, middle}
    assert inside.layers == ("a", "b", "c")
    assert inside.bases_unread == ""


def test_a_base_is_looked_for_where_the_manifest_says_it_is(
    shelf: MemoryStore, tmp_path: Path
) -> None:
    elsewhere = store_named(f"memory:{tmp_path}/elsewhere")
    lowest = image(elsewhere, ["a"])
    base = image(elsewhere, ["a", "b"], **on(lowest))
    named = on(base, f"{elsewhere.repository}@{base}")
    mine = artifact_in(shelf, image(shelf, ["a", "b", "c"], **named))
    found = contents_of(mine, {QuarantineKind.BASE}, dossier(mine))
    assert (found.bases, found.bases_unread) == (frozenset({base, lowest}), "")
    lost = artifact_in(shelf, image(shelf, ["a", "b", "d"], **on(base)))
    unread = contents_of(lost, {QuarantineKind.BASE}, dossier(lost))
    assert unread.bases == {base}
    assert f"no further than {base}" in unread.bases_unread


def test_a_base_is_looked_for_where_its_provenance_says_it_is(
    shelf: MemoryStore, tmp_path: Path
) -> None:
    elsewhere = store_named(f"memory:{tmp_path}/elsewhere")
    lowest = image(elsewhere, ["a"])
    base = image(elsewhere, ["a", "b"], **on(lowest))
    mine = artifact_in(shelf, image(shelf, ["a", "b", "c"], **on(base)))
    uri = f"oci://{elsewhere.repository}@{base}"
    told = [{"uri": uri, "digest": {"sha256": oci.hex_of(base)}}]
    said = {"buildDefinition": {"resolvedDependencies": told}}
    inside = contents_of(mine, EVERYTHING, dossier(mine, (Kind.PROVENANCE, said, Proof.VALID)))
    assert inside.bases == {base, lowest}
    assert inside.bases_unread == ""


def test_what_our_builder_vouches_for_is_a_base_too_and_only_if_it_holds(
    shelf: MemoryStore,
) -> None:
    mine = artifact_in(shelf, image(shelf, ["a"]))
    said = {"buildDefinition": {"resolvedDependencies": [{"digest": {"sha256": "ab"}}]}}
    vouched = dossier(mine, (Kind.PROVENANCE, said, Proof.VALID))
    assert "sha256:ab" in contents_of(mine, EVERYTHING, vouched).bases
    false = dossier(mine, (Kind.PROVENANCE, said, Proof.WRONG_ROLE))
    assert contents_of(mine, EVERYTHING, false).bases == frozenset()


def listing(name: str, version: str) -> dict[str, Any]:
    """A bill of one package."""
    component = {"type": "library", "name": name, "version": version}
    return {"bomFormat": "CycloneDX", "components": [component]}


def test_a_bills_packages_are_read_and_a_bill_that_does_not_hold_is_none(
    shelf: MemoryStore,
) -> None:
    mine = artifact_in(shelf, image(shelf, ["a"]))
    bill, other = listing("leaky", "1"), listing("more", "2")
    both = dossier(mine, (Kind.CYCLONEDX, bill, Proof.VALID), (Kind.CYCLONEDX, other, Proof.VALID))
    found = contents_of(mine, EVERYTHING, both).packages
    assert found == frozenset({Package("leaky", "1"), Package("more", "2")})
    for beside, words in (
        (dossier(mine), "there is none"),
        (dossier(mine, (Kind.CYCLONEDX, bill, Proof.ALTERED)), "altered: as the test has it"),
        (dossier(mine, (Kind.CYCLONEDX, {**bill, "components": 7}, Proof.VALID)), "cannot be read"),
    ):
        inside = contents_of(mine, EVERYTHING, beside)
        assert inside.packages is None
        assert words in inside.packages_unread


def test_an_artifact_that_is_not_there_has_no_layers_that_anybody_could_read(
    shelf: MemoryStore,
) -> None:
    gone = artifact_in(shelf, DIGEST)
    inside = contents_of(gone, EVERYTHING, dossier(gone))
    assert inside.layers is None
    assert DIGEST in inside.layers_unread


def test_only_what_is_needed_is_read() -> None:
    """A repository that nobody can reach: with no base and no package quarantined it is not asked."""
    far = Artifact("hello", DIGEST, "127.0.0.1:1/nobody/hello")
    assert contents_of(far, {QuarantineKind.ARTIFACT}).digest == DIGEST
    add(target_of(DIGEST, "", ""), "stolen key", None)
    assert [hit.certainty for hit in quarantined(far)] == [Certainty.HELD]
    with pytest.raises(TransientError):
        contents_of(far, {QuarantineKind.PACKAGE})


def test_of_an_index_every_platforms_layers_are_kept_and_what_is_attested_there_is_not(
    shelf: MemoryStore,
) -> None:
    images = [image(shelf, layers) for layers in (["a"], ["x", "y"], ["not an image"])]
    systems = ("linux", "linux", "unknown")
    children = [
        {"mediaType": oci.MANIFEST, "digest": one, "size": 1, "platform": {"os": system}}
        for one, system in zip(images, systems, strict=True)
    ]
    raw = {"schemaVersion": 2, "mediaType": oci.INDEX, "manifests": children}
    index = shelf.put_manifest(oci.canonical(raw))
    assert layers_of_base(shelf.repository, index) == (("a",), ("x", "y"))


def test_a_quarantined_base_holds_what_begins_with_its_layers_whatever_that_says(
    home: Path,
) -> None:
    store = platforms.store(f"layout:{home}/bases")
    base = image(store, ["a", "b"])
    made = add(target_of("", f"{store.repository}@{base}", ""), "poisoned", None)
    assert made.layers == (("a", "b"),)
    silent = artifact_in(store, image(store, ["a", "b", "c"]))
    other = artifact_in(store, image(store, ["a", "c"]))
    assert [hit.certainty for hit in quarantined(silent)] == [Certainty.HELD]
    assert quarantined(other) == ()


def test_a_base_that_cannot_be_read_is_quarantined_by_name_and_that_is_said(
    caplog: pytest.LogCaptureFixture,
) -> None:
    made = add(target_of("", DIGEST, ""), "poisoned", None)
    assert made.layers == ()
    assert "its layers are not known" in caplog.text


def test_a_package_quarantine_reads_the_bill_that_our_scanner_signed(home: Path) -> None:
    store = platforms.store(f"layout:{home}/artifacts/hello")
    mine = artifact_in(store, image(store, ["a"]))
    made = add(target_of("", "", "leaky@*"), "stolen key", None)
    (unsure,) = held_by(mine, [made])
    assert unsure.certainty is Certainty.COULD_NOT_TELL
    bill = listing("leaky", "1")
    evidence.attest(mine, [Statement(Kind.CYCLONEDX, bill)])
    (hit,) = held_by(mine, [made])
    assert (hit.certainty, hit.why) == (Certainty.HELD, "it contains leaky 1")


def test_a_lookout_tells_what_is_held_from_what_nobody_could_tell(shelf: MemoryStore) -> None:
    mine = artifact_in(shelf, image(shelf, ["a"]))
    lookout = Lookout(mine)
    assert lookout.judgement() is None
    add(target_of("", "", "leaky@*"), "stolen key", None)
    unsure = lookout.judgement()
    assert unsure is not None
    assert unsure.verdict is Verdict.INCONCLUSIVE, "not seeing is not health, and not guilt"
    add(target_of(mine.digest, "", ""), "stolen key", None)
    held = lookout.judgement()
    assert held is not None
    assert held.verdict is Verdict.ROLL_BACK
    lift(target_of(mine.digest, "", ""), "a false alarm")
    lift(target_of("", "", "leaky@*"), "a false alarm")
    assert lookout.judgement() is None


def test_quarantines_are_read_without_the_lines_of_services() -> None:
    add(target_of(DIGEST, "", ""), "stolen key", None)
    record(platforms.journal(), "hello", "", "", BakedBody(SOURCE, artifact(2), False))
    (only,) = platforms.journal().events(EVERY_SERVICE)
    assert only.service == ""
    assert only.at > NOON
