"""Did fresh instances answer their smoke test? Pure: answers in, a judgement out."""

from collections.abc import Mapping
from dataclasses import dataclass

from tasks.model import Judgement, Verdict
from tasks.service import Smoke


@dataclass(frozen=True)
class SmokeAnswer:
    """What one instance said. `status` 0 = nothing answered, and `body` says what went wrong instead."""

    status: int
    body: str


def judge_smoke(smoke: Smoke, answers: Mapping[str, SmokeAnswer]) -> Judgement:
    """PROMOTE if every instance answered as `service.yaml` wants; no instance at all is INCONCLUSIVE."""
    if not answers:
        return Judgement(Verdict.INCONCLUSIVE, "the smoke test found no instance to ask")
    problems = {
        name: problem
        for name, answer in sorted(answers.items())
        if (problem := _problem(smoke, answer))
    }
    if problems:
        name, problem = next(iter(problems.items()))
        return Judgement(
            Verdict.ROLL_BACK,
            f"{len(problems)} of {_fresh(len(answers))} failed the smoke test {smoke.path}: {name} {problem}",
        )
    return Judgement(Verdict.PROMOTE, f"{_fresh(len(answers))} passed the smoke test {smoke.path}")


def _fresh(count: int) -> str:
    return f"{count} fresh instance{'' if count == 1 else 's'}"


def _problem(smoke: Smoke, answer: SmokeAnswer) -> str:
    if answer.status == 0:
        return f"did not answer: {answer.body}"
    if answer.status != smoke.status:
        return f"answered {answer.status}, {smoke.status} is wanted"
    if smoke.contains not in answer.body:
        return f"answered without {smoke.contains!r}; it began with {answer.body[:80]!r}"
    return ""
