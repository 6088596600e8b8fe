"""Calibration: what was measured about a service's own noise, kept beside the journal for its judge."""

import contextlib
import json
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from tasks import platforms
from tasks.model import Environment

MOST_DAYS = 30.0


@dataclass(frozen=True)
class Calibration:
    """`burst`: errors that come at a time. `false_alarms` of `runs` in which an instance of the stable artifact played the
    canary. `at`: when it was measured."""

    burst: float
    runs: int
    false_alarms: int
    batches: int
    at: str


def measured_burst(here: Environment) -> float | None:
    """As measured in the last 30 days; None if nobody did."""
    found = read(here)
    if found is None:
        return None
    age = datetime.now(UTC) - datetime.fromisoformat(found.at)
    return found.burst if age.total_seconds() < MOST_DAYS * 86_400 else None


def read(here: Environment) -> Calibration | None:
    with contextlib.suppress(OSError, ValueError, TypeError):
        return Calibration(**json.loads(_path(here).read_text()))
    return None


def store(here: Environment, found: Calibration) -> Path:
    """Where it was written."""
    path = _path(here)
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_suffix(".new")
    beside.write_text(json.dumps(asdict(found)))
    beside.replace(path)
    return path


def _path(here: Environment) -> Path:
    return platforms.home() / "calibration" / f"{here.key}.json"
