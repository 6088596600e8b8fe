"""What a scan found, weighed by a policy: which findings may not run, and which are waived for now. Pure."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from fnmatch import fnmatchcase
from typing import Final

from tasks.evidence import Finding, FindingKind, Ground, Severity
from tasks.policy import Answer, Fix, Policy, VulnerabilityRule, Waiver

WORST_FIRST: Final = tuple(reversed(Severity))
UNKNOWN_LICENCES: Final = frozenset({"", "unknown", "noassertion", "none"})


@dataclass(frozen=True)
class Weighed:
    """`refused` decide against the artifact; `waived` would have, and are let pass by a waiver in force (`by`)."""

    refused: tuple[Ground, ...]
    waived: tuple[Ground, ...]
    by: tuple[tuple[Finding, Waiver], ...] = ()


def weigh(findings: Sequence[Finding], policy: Policy, service: str, now: datetime) -> Weighed:
    """Every finding that the policy refuses, the worst first, each once; those with a waiver apart."""
    refused, waived = list[Ground](), list[tuple[Ground, Finding, Waiver]]()
    for found, demand in sorted(_wrong(findings, policy, now), key=_worst_first):
        matching = [one for one in policy.waivers if _is_about(one, found, service)]
        valid = [one for one in matching if counts(one, now.astimezone(UTC).date())]
        if valid:
            ground = Ground(demand, found.id, _waived(found, valid[0]))
            waived.append((ground, found, valid[0]))
        else:
            refused.append(Ground(demand, found.id, _told(found) + _expired(matching)))
    return Weighed(
        tuple(dict.fromkeys(refused)),
        tuple(dict.fromkeys(ground for ground, _, _ in waived)),
        tuple((found, waiver) for _, found, waiver in waived),
    )


def counts(waiver: Waiver, today: date) -> bool:
    """Its last day counts as a whole (UTC)."""
    return today <= waiver.expires


def unfit_waivers(waivers: Iterable[Waiver], today: date) -> tuple[Waiver, ...]:
    """Those that count no longer: somebody should decide again, or take them out."""
    return tuple(one for one in waivers if not counts(one, today))


def _wrong(
    findings: Sequence[Finding], policy: Policy, now: datetime
) -> Iterator[tuple[Finding, str]]:
    """With the demand of the policy that it does not meet."""
    for one in findings:
        match one.kind:
            case FindingKind.VULNERABILITY:
                for number, rule in enumerate(policy.vulnerabilities):
                    if _refuses(rule, one, now):
                        yield one, f"vulnerabilities[{number}]"
                        break
            case FindingKind.SECRET if policy.secrets is Answer.REFUSE:
                yield one, "secrets"
            case FindingKind.LICENCE if demand := _licence(one, policy):
                yield one, demand


def _refuses(rule: VulnerabilityRule, one: Finding, now: datetime) -> bool:
    if one.severity not in rule.severities:
        return False
    if rule.fix is not Fix.ANY and (rule.fix is Fix.AVAILABLE) != bool(one.fixed_version):
        return False
    # When it became public is not known: it counts as long ago, or every unknown one would pass.
    public_for = now - one.published_at if one.published_at else timedelta.max
    return public_for >= timedelta(days=rule.public_for_days)


def _licence(one: Finding, policy: Policy) -> str:
    if one.id.lower() in UNKNOWN_LICENCES:
        return "licences.unknown" if policy.licences.unknown is Answer.REFUSE else ""
    wanted = any(fnmatchcase(one.id.lower(), glob.lower()) for glob in policy.licences.refuse)
    return "licences.refuse" if wanted else ""


def _is_about(waiver: Waiver, one: Finding, service: str) -> bool:
    return (
        waiver.id.lower() == one.id.lower()
        and _any(waiver.services, service)
        and (
            _any(waiver.packages, one.package)
            or (bool(one.purl) and _any(waiver.packages, one.purl))
        )
    )


def _any(globs: Sequence[str], name: str) -> bool:
    return not globs or any(fnmatchcase(name, glob) for glob in globs)


def _worst_first(pair: tuple[Finding, str]) -> tuple[bool, int, str, str]:
    one = pair[0]
    is_secret = one.kind is FindingKind.SECRET  # it is known already to whoever has the artifact
    return (not is_secret, WORST_FIRST.index(one.severity), one.id, one.package)


def _told(one: Finding) -> str:
    match one.kind:
        case FindingKind.SECRET:
            return f"{one.title or one.id} in {one.package}: take it out, and replace it: it is known now"
        case FindingKind.LICENCE:
            return f"{one.package} has the licence {one.id or 'unknown'}: replace the package"
        case _:
            fix = f"update to {one.fixed_version}" if one.fixed_version else "no fix exists yet"
            return (
                f"{one.id} ({one.severity.value}) in {one.package} {one.installed_version}: {fix}"
            )


def _waived(one: Finding, by: Waiver) -> str:
    return f"{one.id} in {one.package} is waived by {by.owner} until {by.expires}: {by.reason}"


def _expired(matching: Sequence[Waiver]) -> str:
    if not matching:
        return ""
    last = max(matching, key=lambda one: one.expires)
    return f" (the waiver of {last.owner} for it expired on {last.expires})"
