"""What was tried with an artifact, as predicates and back: smoke tests and verdicts of rollouts. Pure.

Smoke tests: in-toto's test-result v0.1 (attestation/spec/predicates/test-result.md). It has no place for where and when, so
the configuration's annotations tell it. Verdicts have a predicate of our own (README.md beside this file).
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from datetime import datetime
from typing import Any, Final

from pydantic import TypeAdapter, ValidationError

from tasks.evidence import Kind, RolloutVerdict, SmokeResult, SmokeTested, Statement
from tasks.model import Verdict
from tasks.service import Smoke
from tasks.sign.provenance import timestamp

LINE: Final = "urn:bakewell:journal:"
_VERDICT: Final = TypeAdapter(RolloutVerdict)


def smoke_statement(tested: SmokeTested, smoke: Smoke) -> Statement:
    """One test, named by its path; what it wanted is the configuration, with its digest."""
    wanted = smoke.model_dump(mode="json")
    canonical = json.dumps(wanted, sort_keys=True, separators=(",", ":")).encode()
    name = f"GET {tested.path}"
    return Statement(
        Kind.SMOKE_TEST,
        {
            "result": tested.result.value,
            "configuration": [
                {
                    "name": "smoke",
                    "digest": {"sha256": hashlib.sha256(canonical).hexdigest()},
                    "annotations": {
                        "wanted": wanted,
                        "environment": tested.environment,
                        "release": tested.release,
                        "at": timestamp(tested.at),
                        "reason": tested.reason,
                    },
                }
            ],
            **({"url": f"{LINE}{tested.line}"} if tested.line else {}),
            "passedTests": [name] if tested.result is SmokeResult.PASSED else [],
            "warnedTests": [name] if tested.result is SmokeResult.WARNED else [],
            "failedTests": [name] if tested.result is SmokeResult.FAILED else [],
        },
    )


def read_smoke(predicate: Mapping[str, Any]) -> SmokeTested | None:
    """None if it is no test result, or does not say in which environment and when."""
    try:
        told = predicate["configuration"][0]["annotations"]
        url = str(predicate.get("url") or "")
        return SmokeTested(
            environment=str(told["environment"]),
            result=SmokeResult(predicate["result"]),
            at=_moment(told["at"]),
            path=str(told["wanted"]["path"]),
            reason=str(told.get("reason") or ""),
            release=str(told.get("release") or ""),
            line=url.removeprefix(LINE) if url.startswith(LINE) else "",
        )
    except (KeyError, IndexError, TypeError, ValueError, AttributeError):
        return None


def verdict_statement(given: RolloutVerdict) -> Statement:
    """Everything it knows. Moments as RFC 3339 in UTC; the verdict as the journal spells it."""
    told = asdict(given) | {
        "verdict": given.verdict.value,
        "started_at": timestamp(given.started_at),
        "at": timestamp(given.at),
        "numbers": dict(given.numbers),
    }
    return Statement(Kind.VERDICT, told)


def read_verdict(predicate: Mapping[str, Any]) -> RolloutVerdict | None:
    """None if it cannot be understood."""
    try:
        found = _VERDICT.validate_python(dict(predicate))
        return found if found.at.tzinfo and found.started_at.tzinfo else None
    except (ValidationError, TypeError, ValueError):
        return None


def tested_in(predicates: Iterable[Mapping[str, Any]]) -> frozenset[str]:
    """Environments in which the newest smoke test passed."""
    found = [one for one in map(read_smoke, predicates) if one is not None]
    newest = {one.environment: one.result for one in sorted(found, key=lambda one: one.at)}
    return frozenset(place for place, result in newest.items() if result is SmokeResult.PASSED)


def promoted_in(predicates: Iterable[Mapping[str, Any]]) -> frozenset[str]:
    """Environments in which the newest verdict was to promote: what was taken back later does not count. One without a
    conclusion says nothing about the artifact, and takes nothing back."""
    read = map(read_verdict, predicates)
    found = [one for one in read if one and one.verdict in (Verdict.PROMOTE, Verdict.ROLL_BACK)]
    newest = {one.environment: one.verdict for one in sorted(found, key=lambda one: one.at)}
    return frozenset(place for place, verdict in newest.items() if verdict is Verdict.PROMOTE)


def _moment(text: object) -> datetime:
    found = datetime.fromisoformat(str(text))
    if found.tzinfo is None:
        raise ValueError(f"{text} has no time zone")
    return found
