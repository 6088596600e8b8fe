"""How the journal's lines are chained: the one definition of what a line's hash covers. Pure."""

import hashlib
import json
from datetime import UTC, datetime
from typing import Final

from tasks.ports import Event

FIRST: Final = "0" * 64
"""What the first line has for `previous`."""


def canonical(value: object) -> str:
    """One spelling for one value: sorted keys, no spaces, ASCII. ValueError or TypeError for what is not JSON."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def moment(at: datetime) -> str:
    """One spelling for one moment: UTC, always with microseconds. It sorts as time does."""
    return at.astimezone(UTC).isoformat(timespec="microseconds")


def hash_of(event: Event) -> str:
    """SHA-256, in hex, over every field of the line but its hash."""
    fields = {
        "sequence": event.sequence,
        "at": moment(event.at),
        "kind": event.kind,
        "service": event.service,
        "environment": event.environment,
        "release": event.release,
        "body": dict(event.body),
        "token": event.token,
        "previous": event.previous,
    }
    return hashlib.sha256(canonical(fields).encode()).hexdigest()
