"""The tables of README.md beside this file."""

from collections.abc import Iterator, Sequence
from typing import Final

from tasks.model import Verdict
from tasks.service import ServiceSpec
from tests.benchmarks.live.peers_of_ours import KayentaJudge, ThresholdJudge
from tests.benchmarks.live.recording import Recording
from tests.benchmarks.live.replaying import Outcome, ours, rival
from tests.benchmarks.live.versions import VERSIONS

SOAK_SECONDS: Final = 215.0
RIVALS: Final = (ThresholdJudge(SOAK_SECONDS), KayentaJudge(SOAK_SECONDS))


def right(recording: Recording) -> bool:
    return recording.verdict is _expected(recording)


def _expected(recording: Recording) -> Verdict:
    return next(one.expected for one in VERSIONS if one.name == recording.version)


def _what(recording: Recording) -> str:
    return next(one.what for one in VERSIONS if one.name == recording.version)


def released(found: Sequence[Recording]) -> Iterator[str]:
    """Released by the command: what became of each, and what its users saw."""
    yield "| version | requests/s | verdict | after s | by | of the new version's requests | harmed | load kept, late |"
    yield "|---|---|---|---|---|---|---|---|"
    for one in found:
        users = one.users
        assert users is not None, "a release has users"
        by = "watch" if one.phases[-1].watch and one.verdict is Verdict.ROLL_BACK else "rollout"
        mark = "" if right(one) else " **(wrong)**"
        yield (
            f"| {_what(one)} | {one.rate:g} | {one.verdict.value}{mark} | {one.seconds:.0f} | {by} |"
            f" {users.requests:,} | {users.harmed:,} | {users.kept_rate / users.asked_rate:.1%},"
            f" {users.late_share:.2%} |"
        )


def compared(found: Sequence[Recording], spec: ServiceSpec) -> Iterator[str]:
    """The same samples, judged by each: verdict, seconds, harmed until then."""
    yield "| version | requests/s | wanted | Bakewell | Argo-like threshold | Kayenta-like |"
    yield "|---|---|---|---|---|---|"
    for one in found:
        outcomes = [ours(one, spec), *(rival(one, judge) for judge in RIVALS)]
        cells = " | ".join(_cell(each, _expected(one)) for each in outcomes)
        yield f"| {_what(one)} | {one.rate:g} | {_expected(one).value} | {cells} |"


def _cell(outcome: Outcome, expected: Verdict) -> str:
    if outcome.verdict is Verdict.KEEP_OBSERVING:
        return f"undecided, recording ended at {outcome.seconds:.0f} s"
    mark = "" if outcome.verdict is expected else " **(wrong)**"
    return f"{outcome.verdict.value}{mark} @ {outcome.seconds:.0f} s · {outcome.harmed:,}"
