"""`bakewell mirror`: a second place for what one cannot afford to lose."""

import json as plain_json
from collections.abc import Sequence
from dataclasses import asdict
from typing import Annotated, Any

from cyclopts import Parameter

from flows import console
from flows.command import Exit, exit_code
from flows.mirroring import Mirrored, NotMirrored, Outcome, mirror_all, mirror_one

Json = Annotated[bool, Parameter(name="--json", negative="")]


def mirror(reference: str, to: str, *, all: bool = False, json: Json = False) -> int:
    """Copy an artifact with all its evidence to a second registry or layout, and verify it there.

    Killed half-way, or something new to copy? The same command again goes on where it was. With $BAKEWELL_MIRRORS set
    to `first=second`, whatever runs Bakewell reads the copy while the first is down or where it has lost something.

    Parameters
    ----------
    reference
        What to copy: `repository@sha256:…`, or `service@sha256:…` of the embedded store. With --all: a service.
    to
        Where to: `host[:port]/name`, or `layout:FOLDER`.
    all
        Every artifact that the journal knows of that service.
    json
        Print as JSON.
    """
    outcomes = mirror_all(reference, to) if all else mirror_one(reference, to)
    if json:
        print(plain_json.dumps([as_json(one) for one in outcomes], indent=2))
    else:
        for one in outcomes:
            console.out(as_line(one))
    return exit_of(outcomes)


def exit_of(outcomes: Sequence[Outcome]) -> int:
    """Of the first that failed."""
    failed = (exit_code(one.error) for one in outcomes if isinstance(one, NotMirrored))
    return next(failed, Exit.DONE)


def as_json(one: Outcome) -> dict[str, Any]:
    if isinstance(one, NotMirrored):
        return {"artifact": one.artifact.reference, "error": str(one.error)}
    return {
        "artifact": one.artifact.reference,
        "copy": one.copy.reference,
        "proofs": one.proofs,
        **asdict(one.copied),
    }


def as_line(one: Outcome) -> str:
    if isinstance(one, Mirrored):
        names = f" ({', '.join(one.copied.tags)})" if one.copied.tags else ""
        return f"{one.copy.reference}{names}: {one.proofs} signatures and statements hold there"
    return f"{one.artifact.reference}: not mirrored: {one.error}"
