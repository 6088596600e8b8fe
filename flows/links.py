"""The chain of one artifact in words: one link a line, for terminals and reports. Pure."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from flows.chain import Chain, Place
from flows.differences import worst_first
from flows.story import Tone
from flows.words import count, listed, moment
from tasks.evidence import (
    Checked,
    Finding,
    FindingKind,
    Package,
    Proof,
    Provenance,
    RolloutVerdict,
    ScanNotDone,
    ScanReport,
    Severity,
    SmokeResult,
)
from tasks.model import Verdict

GRAVE: Final = (Severity.CRITICAL, Severity.HIGH)
TONES: Final = {Verdict.PROMOTE: Tone.GOOD, Verdict.ROLL_BACK: Tone.BAD}


@dataclass(frozen=True)
class Link:
    """`details` are told below it; `all_details` instead of them where somebody asks for everything."""

    name: str
    tone: Tone
    words: str
    details: tuple[str, ...] = ()
    all_details: tuple[str, ...] = ()


def links(chain: Chain) -> tuple[Link, ...]:
    """From the source to the verdicts. A quarantine is told first."""
    return (
        *(Link("quarantine", Tone.BAD, one.why) for one in chain.quarantines),
        source_link(chain.origins),
        base_link(chain),
        packages_link(chain.packages),
        findings_link(chain.scan),
        signatures_link(chain),
        verdicts_link(chain),
    )


# ---- where it comes from -------------------------------------------------------------------------


def source_link(origins: Sequence[Provenance]) -> Link:
    if not origins:
        why = "not known: it has no provenance that our builder vouches for"
        return Link("source", Tone.BAD, why)
    first, *others = origins
    also = tuple(f"the same bytes also came from {_source(one)}" for one in others)
    tone = Tone.WARN if first.dirty else Tone.GOOD
    return Link("source", tone, _source(first), (*_making(first), *also))


def _source(one: Provenance) -> str:
    if not one.commit:
        return f"{one.repository}, a tree outside Git: nobody can tell from which commit"
    state = "WITH CHANGES that are not committed" if one.dirty else "clean"
    return f"{one.repository} @ {one.commit[:12]}, {state}"


def _making(one: Provenance) -> Iterator[str]:
    versions = ", ".join(f"{name} {version}" for name, version in one.versions)
    at = f" on {moment(one.finished_at)} UTC" if one.finished_at else ""
    yield f"baked{at} by {versions or one.builder}"
    if one.invocation:
        yield f"run {one.invocation}"
    if one.files:
        yield f"of {count(one.files, 'file')} and {count(len(one.packages), 'locked package')}"


def base_link(chain: Chain) -> Link:
    if chain.origins:
        names = list(dict.fromkeys(name for one in chain.origins for name in one.base_names))
        if names:
            return Link("base", Tone.GOOD, listed(names))
        if not chain.base:
            return Link("base", Tone.GOOD, "scratch: nothing is below it")
    if chain.base:
        return Link("base", Tone.WARN, f"{chain.base}, by its manifest; nobody vouches for it")
    return Link("base", Tone.WARN, "not known: it has no provenance")


# ---- what is in it -------------------------------------------------------------------------------


def packages_link(packages: Sequence[Package] | None) -> Link:
    if packages is None:
        return Link("packages", Tone.BAD, "not known: it has no SBOM that our scanner vouches for")
    if not packages:
        why = "its SBOM lists none: the scanner recognised nothing in it"
        return Link("packages", Tone.WARN, why)
    kinds = Counter(_kind(one) for one in packages)
    told = ", ".join(f"{number} {kind}" for kind, number in kinds.most_common())
    words = f"{count(len(packages), 'package')} by its SBOM ({told})"
    return Link("packages", Tone.GOOD, words, all_details=tuple(map(_package, packages)))


def _kind(package: Package) -> str:
    """The purl's type: `pypi`, `deb`."""
    return package.purl.removeprefix("pkg:").partition("/")[0] or "other"


def _package(one: Package) -> str:
    licences = f" ({', '.join(one.licences)})" if one.licences else ""
    return f"{one.name} {one.version}{licences}"


def findings_link(scan: ScanReport | ScanNotDone | None) -> Link:
    if scan is None:
        why = "NOT SCANNED: it has no scan that our scanner vouches for"
        return Link("findings", Tone.BAD, why)
    if isinstance(scan, ScanNotDone):
        return Link("findings", Tone.BAD, f"NOT SCANNED: {scan.reason}", (f"on {moment(scan.at)}",))
    worst = _worst(scan)
    grave = any(one.severity in GRAVE or one.kind is FindingKind.SECRET for one in worst)
    tone = Tone.BAD if grave else Tone.WARN if worst else Tone.GOOD
    how = "its SBOM" if scan.of_bill else "it"
    when = (
        f"{scan.scanner} looked at {how} on {moment(scan.scanned_at)} UTC, with a database of"
        f" {moment(scan.database_updated_at)}"
    )
    shown = (f"worst: {finding_words(worst[0])}",) if worst else ()
    every = (*map(finding_words, worst), when)
    return Link("findings", tone, _counted(scan), (*shown, when), every)


def _worst(scan: ScanReport) -> tuple[Finding, ...]:
    """Secrets, then vulnerabilities by severity. Licences are facts, no faults: a policy says which may not be."""
    secrets = [one for one in scan.findings if one.kind is FindingKind.SECRET]
    known = [one for one in scan.findings if one.kind is FindingKind.VULNERABILITY]
    return (*secrets, *worst_first(known))


def _counted(scan: ScanReport) -> str:
    found = Counter(one.severity for one in scan.findings if one.kind is FindingKind.VULNERABILITY)
    parts = [f"{found[one]} {one.value}" for one in reversed(Severity) if found[one]]
    secrets = sum(one.kind is FindingKind.SECRET for one in scan.findings)
    told = [f"vulnerabilities: {', '.join(parts)}"] if parts else ["no known vulnerability"]
    if secrets:
        told.insert(0, count(secrets, "SECRET"))
    if not scan.packages:
        told.append("but no package was recognised, so that says little")
    return ", ".join(told)


def finding_words(one: Finding) -> str:
    if one.kind is FindingKind.SECRET:
        return f"secret: {one.title} in {one.package}"
    fix = f"fixed in {one.fixed_version}" if one.fixed_version else "no fix exists"
    return f"{one.id} ({one.severity.value}) in {one.package} {one.installed_version}: {fix}"


# ---- who vouches for it --------------------------------------------------------------------------


def signatures_link(chain: Chain) -> Link:
    """What was never there is no fault of a format or kind that nobody asked for; what does not hold is one."""
    valid = [one for one in chain.signatures if one.proof is Proof.VALID]
    every = (*chain.signatures, *chain.kinds)
    false = [one for one in every if one.proof not in (Proof.VALID, Proof.MISSING)]
    attested = [one.name for one in chain.kinds if one.proof is Proof.VALID]
    formats = " and ".join(one.name.removeprefix("signature, ") for one in valid)
    signed = f"signed ({formats})" if valid else "NOT SIGNED by our builder"
    also = f"attested: {', '.join(attested)}" if attested else "nothing is attested"
    tone = Tone.BAD if false or not valid else Tone.GOOD
    return Link(
        "signatures",
        tone,
        f"{signed}; {also}",
        tuple(map(_proof, false)),
        tuple(map(_proof, every)),
    )


def _proof(one: Checked) -> str:
    return f"{one.name}: {one.proof.value}, {one.found}"


def verdicts_link(chain: Chain) -> Link:
    """Of each environment the newest."""
    tested = [(one.at, one.environment) for one in chain.tests]
    judged = [(one.at, one.environment) for one in chain.verdicts]
    places = list(dict.fromkeys(place for _, place in sorted(tested + judged)))
    if not places:
        return Link("verdicts", Tone.WAIT, "none yet: no rollout of it has ended")
    given = [_newest(chain.verdicts, place) for place in places]
    tones = {TONES.get(one.verdict, Tone.WARN) if one else Tone.WAIT for one in given}
    worst = next(tone for tone in (Tone.BAD, Tone.WARN, Tone.WAIT, Tone.GOOD) if tone in tones)
    told = tuple(_tried(chain, place, one) for place, one in zip(places, given, strict=True))
    every = tuple(
        f"{one.environment} {one.release}, {moment(one.at)} UTC: {one.verdict.value}: {one.reason}"
        for one in chain.verdicts
    )
    words = "; ".join(told) if len(told) == 1 else f"in {count(len(told), 'environment')}"
    return Link("verdicts", worst, words, told if len(told) > 1 else (), every)


def _newest(verdicts: Sequence[RolloutVerdict], place: str) -> RolloutVerdict | None:
    return next((one for one in verdicts if one.environment == place), None)


def _tried(chain: Chain, place: str, given: RolloutVerdict | None) -> str:
    smoke = next((one for one in chain.tests if one.environment == place), None)
    tested = {SmokeResult.PASSED: "smoke test passed", SmokeResult.FAILED: "smoke test FAILED"}
    told = tested.get(smoke.result, "smoke test warned") if smoke else "no smoke test"
    if given is None:
        return f"{place}: {told}, no verdict"
    return f"{place}: {given.verdict.value} ({given.release}, {moment(given.at)} UTC), {told}"


def places_link(places: Sequence[Place]) -> Link:
    """Where it runs: no proof, but what this journal and the platforms say."""
    if not places:
        return Link("runs in", Tone.WAIT, "nowhere, as far as this journal knows")
    told = tuple(map(_place, places))
    well = all(one.ready is not None and one.ready >= one.wanted for one in places)
    words = told[0] if len(told) == 1 else count(len(told), "group")
    tone = Tone.GOOD if well else Tone.WARN
    return Link("runs in", tone, words, told if len(told) > 1 else ())


def _place(one: Place) -> str:
    where = f"{one.service} {one.environment} as {one.release}: {one.role}"
    if one.ready is None:
        return f"{where}; {one.platform} did not answer"
    return f"{where}, {one.weight} % of the traffic, {one.ready} of {one.wanted} ready"
