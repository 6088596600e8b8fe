"""The versions that are released, and what should become of each."""

from dataclasses import dataclass, field
from typing import Any, Final

from tasks.model import Verdict

USUAL: Final[dict[str, Any]] = {
    "delay_ms": 45,
    "delay_spread": 0.25,
    "tail_share": 0.02,
    "tail_factor": 4,
}
"""The good version: half of its answers take 45 ms or less, one in a hundred takes 180 ms or more."""


@dataclass(frozen=True)
class Version:
    """`settings`: how it differs from the good one (deployments/services/hello)."""

    name: str
    what: str
    expected: Verdict
    settings: dict[str, Any] = field(default_factory=dict)


VERSIONS: Final = (
    Version("good", "as good as before", Verdict.PROMOTE),
    Version("errors-1", "1 % errors", Verdict.ROLL_BACK, {"failure_share": 0.01}),
    Version("errors-20", "20 % errors", Verdict.ROLL_BACK, {"failure_share": 0.2}),
    # Not all of them: the smoke test before any traffic asks each instance once, and would already stop it.
    Version("failure", "total failure", Verdict.ROLL_BACK, {"failure_share": 0.9999}),
    Version("tail", "twice the p99", Verdict.ROLL_BACK, {"tail_factor": 8}),
    Version("slower", "everything +10 %", Verdict.ROLL_BACK, {"delay_factor": 1.1}),
    Version("leak", "leaks 10 kB a request", Verdict.ROLL_BACK, {"leak_kb_per_request": 10}),
    Version(
        "late",
        "5 % errors from minute 3",
        Verdict.ROLL_BACK,
        {"failure_share": 0.05, "faulty_after_seconds": 180},
    ),
)
