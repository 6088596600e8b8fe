"""The chain in words: a good one reads well, and nothing that is missing or wrong reads as good."""

from dataclasses import replace
from datetime import timedelta

import pytest

from flows.chain import Chain, Place, chain
from flows.links import Link, links, places_link
from flows.story import Tone
from tasks.evidence import Checked, Dossier, Ground, Proof, ScanNotDone, Severity, SmokeResult
from tasks.model import Verdict
from tests.support.chains import (
    ARTIFACT,
    CHAIN,
    LICENCE,
    ORIGIN,
    PACKAGES,
    SCAN,
    SECRET,
    scanned,
    vulnerability,
)
from tests.support.provenances import AT, GIVEN, TESTED


def link(found: Chain, name: str) -> Link:
    (one,) = [each for each in links(found) if each.name == name]
    return one


def test_a_good_chain_is_good_in_every_link_and_tells_what_matters() -> None:
    told = links(CHAIN)
    assert [one.name for one in told] == [
        "source",
        "base",
        "packages",
        "findings",
        "signatures",
        "verdicts",
    ]
    assert {one.tone for one in told} == {Tone.GOOD}
    words = {one.name: one.words for one in told}
    assert words["source"] == "https://git.example/team/hello.git @ 4b5076f113d5, clean"
    assert words["base"] == "registry.example/python@sha256:" + "b" * 64
    assert words["packages"] == "2 packages by its SBOM (1 pypi, 1 deb)"
    assert words["findings"] == "no known vulnerability"
    assert words["signatures"].startswith("signed (.sig tag and bundle); attested: provenance,")
    assert words["verdicts"].startswith("staging: promote (r3, 2026-03-01 12:30:05 UTC), smoke")


def test_an_empty_dossier_is_good_in_no_link() -> None:
    bare = chain(Dossier(ARTIFACT, (Checked("signature, bundle", Proof.MISSING, "none"),), ()), "")
    tones = {one.name: one.tone for one in links(bare)}
    assert tones == {
        "source": Tone.BAD,
        "base": Tone.WARN,
        "packages": Tone.BAD,
        "findings": Tone.BAD,
        "signatures": Tone.BAD,
        "verdicts": Tone.WAIT,
    }


@pytest.mark.parametrize(
    ("name", "spoiled", "tone", "words"),
    [
        (
            "source",
            replace(CHAIN, origins=(replace(ORIGIN, dirty=True),)),
            Tone.WARN,
            "WITH CHANGES",
        ),
        (
            "source",
            replace(CHAIN, origins=(replace(ORIGIN, commit="", dirty=True),)),
            Tone.WARN,
            "outside Git",
        ),
        ("base", replace(CHAIN, origins=()), Tone.WARN, "nobody vouches for it"),
        ("packages", replace(CHAIN, packages=()), Tone.WARN, "recognised nothing"),
        ("packages", replace(CHAIN, packages=None), Tone.BAD, "no SBOM"),
        (
            "findings",
            replace(CHAIN, scan=ScanNotDone(ARTIFACT.digest, "no database", AT)),
            Tone.BAD,
            "NOT SCANNED: no database",
        ),
        ("findings", replace(CHAIN, scan=replace(SCAN, packages=0)), Tone.GOOD, "says little"),
        ("findings", scanned(vulnerability(1, Severity.LOW)), Tone.WARN, "1 LOW"),
        ("findings", scanned(vulnerability(1, Severity.HIGH)), Tone.BAD, "1 HIGH"),
        ("findings", scanned(SECRET), Tone.BAD, "1 SECRET"),
        ("findings", scanned(LICENCE), Tone.GOOD, "no known vulnerability"),
        (
            "verdicts",
            replace(CHAIN, verdicts=(replace(GIVEN, verdict=Verdict.ROLL_BACK),)),
            Tone.BAD,
            "roll back",
        ),
        ("verdicts", replace(CHAIN, verdicts=()), Tone.WAIT, "no verdict"),
        (
            "verdicts",
            replace(CHAIN, tests=(replace(TESTED, result=SmokeResult.FAILED),)),
            Tone.GOOD,
            "smoke test FAILED",
        ),
        ("verdicts", replace(CHAIN, tests=()), Tone.GOOD, "no smoke test"),
    ],
)
def test_what_is_wrong_is_said(name: str, spoiled: Chain, tone: Tone, words: str) -> None:
    found = link(spoiled, name)
    assert found.tone is tone
    assert words in found.words


def test_the_same_bytes_of_two_sources_tell_both() -> None:
    older = replace(ORIGIN, commit="1" * 40)
    found = link(replace(CHAIN, origins=(ORIGIN, older)), "source")
    assert (
        f"the same bytes also came from {ORIGIN.repository} @ 111111111111, clean" in found.details
    )


def test_the_worst_finding_is_shown_and_all_of_them_worst_first_on_demand() -> None:
    found = link(
        scanned(
            vulnerability(2, Severity.LOW),
            vulnerability(1, Severity.CRITICAL, fixed=""),
            vulnerability(3, Severity.CRITICAL),
        ),
        "findings",
    )
    assert found.words == "vulnerabilities: 2 CRITICAL, 1 LOW"
    assert found.details[0] == "worst: CVE-2099-0001 (CRITICAL) in leaky 1.0: no fix exists"
    assert [one[:13] for one in found.all_details[:3]] == [
        "CVE-2099-0001",
        "CVE-2099-0003",
        "CVE-2099-0002",
    ]


def test_every_package_is_told_on_demand_with_its_licences() -> None:
    assert link(CHAIN, "packages").all_details == (
        "itsdangerous 2.2.0 (BSD-3-Clause)",
        "libssl3 3.0",
    )
    assert len(PACKAGES) == 2


@pytest.mark.parametrize("proof", [one for one in Proof if one not in (Proof.VALID, Proof.MISSING)])
def test_evidence_that_does_not_hold_is_bad_and_named(proof: Proof) -> None:
    false = Checked("verdict", proof, "somebody was here")
    found = link(replace(CHAIN, kinds=(*CHAIN.kinds[:-1], false)), "signatures")
    assert found.tone is Tone.BAD
    assert found.details == (f"verdict: {proof.value}, somebody was here",)


def test_a_quarantine_comes_first() -> None:
    held = replace(CHAIN, quarantines=(Ground("quarantine", "", "it is quarantined: bad base"),))
    first = links(held)[0]
    assert (first.name, first.tone) == ("quarantine", Tone.BAD)


def test_of_each_environment_the_newest_verdict_counts() -> None:
    later = AT + timedelta(hours=1)
    back = replace(GIVEN, verdict=Verdict.ROLL_BACK, at=later)
    there = replace(GIVEN, environment="production", at=later + timedelta(1))
    found = link(replace(CHAIN, verdicts=(there, back, GIVEN)), "verdicts")
    assert found.words == "in 2 environments"
    assert found.tone is Tone.BAD
    assert [one.split(" (")[0] for one in found.details] == [
        "staging: roll back",
        "production: promote",
    ]
    assert len(found.all_details) == 3


def test_where_it_runs_is_good_only_if_all_of_it_is_ready() -> None:
    (place,) = CHAIN.places
    assert places_link(CHAIN.places).tone is Tone.GOOD
    assert places_link(CHAIN.places).words == (
        "hello staging as r3: stable, 100 % of the traffic, 2 of 2 ready"
    )
    assert places_link((replace(place, ready=1),)).tone is Tone.WARN
    silent: Place = replace(place, ready=None, weight=None)
    assert places_link((silent,)).words.endswith("process did not answer")
    assert places_link(()).tone is Tone.WAIT
    assert len(places_link((place, silent)).details) == 2
