"""What `--json` prints: plain dicts and lists with stable keys. Moments are ISO 8601 in UTC, shares from 0 to 1, weights
percent; what is not there is null, never a missing key."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from pydantic import JsonValue

from flows.words import event_words, verdict_of
from tasks.journal.debts import Debt
from tasks.journal.events import EventKind
from tasks.journal.rules import ChainBreak, ReleaseState, RolloutState
from tasks.journal.stops import Stop
from tasks.model import FleetSpec, FleetStatus, Group, GroupStatus, Lease
from tasks.ports import Event
from tasks.rollout.simulation import describe

if TYPE_CHECKING:
    from flows.load import LoadSummary, VersionSeen
    from flows.planning import EnvironmentPlan
    from flows.status import EnvironmentReport

Json = dict[str, JsonValue]


@dataclass(frozen=True)
class Check:
    """One thing that was checked of an artifact: what, whether it held, and what was found."""

    name: str
    passed: bool
    reason: str


def status_json(reports: Sequence["EnvironmentReport"]) -> list[Json]:
    """Per environment: service, environment, platform, endpoint, down, stable, stable_since, warm_until, last_outcome, groups
    (see `_group`), rollout {release, step, step_index, started_at}, lease {owner, token, expires_at}, problems,
    waiting {release, for, reason, since, until}, debts [{line, at, release, barrier, found, reason, by}], line_stopped
    {since, reason, by}."""
    return [_environment(report) for report in reports]


def _environment(report: "EnvironmentReport") -> Json:
    state, found = report.state, report.found
    return {
        "service": state.environment.service,
        "environment": state.environment.name,
        "platform": state.environment.platform,
        "endpoint": (found.endpoint or None) if found else None,
        "down": state.down,
        "stable": state.stable.release if state.stable else None,
        "stable_since": _moment(state.stable.since) if state.stable else None,
        "warm_until": _moment(state.warm_until),
        "last_outcome": state.last_outcome or None,
        "groups": [_group(*each) for each in pairs(report.desired, found)],
        "rollout": _rollout(state.rollout),
        "lease": _lease(report.lease),
        "problems": list(report.problems),
        "waiting": _waiting(report.waiting),
        "debts": [_debt(one) for one in report.debts],
        "line_stopped": _stop(report.stop),
    }


def _waiting(told: ReleaseState | None) -> Json | None:
    if told is None or told.waiting is None:
        return None
    wait = told.waiting.wait
    return {
        "release": told.id,
        "for": wait.kind.value,
        "reason": wait.reason,
        "since": _moment(told.waiting.since),
        "until": _moment(wait.until),
    }


def _debt(one: Debt) -> Json:
    return {
        "line": one.line,
        "at": _moment(one.at),
        "release": one.release,
        "barrier": one.barrier,
        "found": one.found,
        "reason": one.reason,
        "by": one.by,
    }


def _stop(stop: Stop | None) -> Json | None:
    return {"since": _moment(stop.since), "reason": stop.reason, "by": stop.by} if stop else None


def _rollout(rollout: RolloutState | None) -> Json | None:
    if rollout is None:
        return None
    return {
        "release": rollout.release,
        "step": rollout.step.name if rollout.step else None,
        "step_index": rollout.step_index,
        "started_at": _moment(rollout.started_at),
    }


def pairs(
    spec: FleetSpec, status: FleetStatus | None
) -> list[tuple[Group | None, GroupStatus | None]]:
    """Each group as it should be and as it is; None for what is not desired, or is not there."""
    there = {group.name: group for group in (status.groups if status else ())}
    wanted = [(group, there.get(group.name)) for group in spec.groups]
    return [*wanted, *((None, found) for name, found in there.items() if not spec.group(name))]


def _group(wanted: Group | None, found: GroupStatus | None) -> Json:
    """`role` is null for a group that should not be there; `ready` and `weight` are what was read, not desired."""
    one = wanted or found
    assert one is not None, "a pair has one side at least"
    return {
        "name": one.name,
        "digest": found.artifact.digest if found else one.artifact.digest,
        "role": wanted.role.value if wanted else None,
        "weight": found.weight if found else None,
        "weight_desired": wanted.weight if wanted else 0,
        "ready": found.ready if found else None,
        "replicas_desired": wanted.replicas if wanted else 0,
    }


def _lease(lease: Lease | None) -> Json | None:
    if lease is None:
        return None
    return {"owner": lease.owner, "token": lease.token, "expires_at": _moment(lease.expires_at)}


def told(events: Sequence[Event], limit: int) -> list[Event]:
    """The newest `limit` events, newest first, without samples: there is one every few seconds."""
    chosen = [event for event in events if event.kind != EventKind.SAMPLED]
    return chosen[::-1][: max(0, limit)]


def history_json(events: Sequence[Event], limit: int) -> list[Json]:
    """Newest first, without samples: sequence, at, service, environment, release, kind, words, verdict, body, hash."""
    return [
        {
            "sequence": event.sequence,
            "at": _moment(event.at),
            "service": event.service,
            "environment": event.environment or None,
            "release": event.release or None,
            "kind": str(event.kind),
            "words": event_words(event),
            "verdict": verdict_of(event),
            "body": dict(event.body),
            "hash": event.hash,
        }
        for event in told(events, limit)
    ]


def plan_json(plans: Sequence["EnvironmentPlan"]) -> list[Json]:
    """Per environment: service, environment, release, digest (null: to be baked), wave, steps [{name, actions, gate}]."""
    return [
        {
            "service": plan.service,
            "environment": plan.environment,
            "release": plan.release,
            "digest": plan.digest or None,
            "wave": plan.wave or None,
            "steps": [
                {
                    "name": step.name,
                    "actions": [describe(action) for action in step.actions],
                    "gate": step.gate.value,
                }
                for step in plan.steps
            ],
        }
        for plan in plans
    ]


def checks_json(checks: Sequence[Check]) -> Json:
    """passed (all of them, and at least one), checks [{name, passed, reason}]."""
    plain: list[JsonValue] = [
        {"name": check.name, "passed": check.passed, "reason": check.reason} for check in checks
    ]
    return {"passed": bool(checks) and all(check.passed for check in checks), "checks": plain}


def chain_json(events: Sequence[Event], broken: ChainBreak | None) -> Json:
    """intact, events, newest_hash, and of the first break sequence and problem."""
    return {
        "intact": broken is None,
        "events": len(events),
        "newest_hash": events[-1].hash if events else None,
        "broken_at": broken.sequence if broken else None,
        "problem": broken.problem if broken else None,
    }


def users_saw_json(seen: "LoadSummary") -> Json:
    """url, seconds, requests, answered_with_error, unanswered {kind: count}, late, ended, versions [{version, requests,
    answered_with_error, p50_ms, p95_ms, p99_ms, slowest_ms}]."""
    versions: list[JsonValue] = [_version(version) for version in seen.versions]
    unanswered: Json = {kind.value: number for kind, number in seen.failed.items()}
    return {
        "url": seen.url,
        "seconds": seen.seconds,
        "requests": seen.requests,
        "answered_with_error": seen.errors,
        "unanswered": unanswered,
        "late": seen.late,
        "ended": seen.ended.value,
        "versions": versions,
    }


def _version(version: "VersionSeen") -> Json:
    return {
        "version": version.version or None,
        "requests": version.requests,
        "answered_with_error": version.errors,
        "p50_ms": version.quantile_ms(0.5),
        "p95_ms": version.quantile_ms(0.95),
        "p99_ms": version.quantile_ms(0.99),
        "slowest_ms": version.slowest_ms,
    }


def _moment(at: datetime | None) -> str | None:
    return at.astimezone(UTC).isoformat() if at else None
