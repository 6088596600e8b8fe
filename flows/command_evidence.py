"""What a person can ask about evidence: `bakewell inspect` and `bakewell diff`. Nothing here changes anything."""

import json as plain_json
from typing import Annotated

from cyclopts import Parameter

from flows import console, views_evidence
from flows.comparing import compared
from flows.inspecting import inspected
from flows.naming import FORMS, artifact_named, wanted
from tasks import platforms
from tasks.errors import InvalidInputError
from tasks.journal.rules import State, fold
from tasks.model import Artifact

Json = Annotated[bool, Parameter(name="--json", negative="")]
Flag = Annotated[bool, Parameter(negative="")]


def inspect(*reference: str, full: Flag = False, json: Json = False) -> int:
    """Show the chain of an artifact: source, base, packages, findings, signatures, verdicts, and where it runs.

    Parameters
    ----------
    reference
        repository@sha256:…, service@sha256:…, `service r7` for a release, or `service` for what runs.
    full
        Every package, finding, statement and verdict.
    json
        Print all of it as JSON.
    """
    (artifact,), state = _artifacts(reference, 1)
    found = inspected(artifact, state)
    if json:
        print(plain_json.dumps(views_evidence.chain_json(found), indent=2))
    else:
        console.out(views_evidence.chain_tree(found, full, console.is_ascii_only()))
    return 0


def diff(*references: str, files: Flag = False, json: Json = False) -> int:
    """Compare two artifacts: packages, vulnerabilities fixed and introduced, files, configuration.

    Parameters
    ----------
    references
        Two, in any form that `bakewell inspect` takes: `hello r3 r4`, `hello hello@sha256:…`.
    files
        List every file that differs.
    json
        Print all of it as JSON.
    """
    (before, after), _ = _artifacts(references, 2)
    found = compared(before, after)
    if json:
        print(plain_json.dumps(views_evidence.difference_json(found), indent=2))
    else:
        console.out(views_evidence.difference(found, files))
    return 0


def _artifacts(words: tuple[str, ...], number: int) -> tuple[list[Artifact], State]:
    named = wanted(words)
    if len(named) != number:
        asked = "one artifact" if number == 1 else "two artifacts"
        found = ", ".join(one.reference for one in named) or "none"
        raise InvalidInputError(f"name {asked}; found {found}. Each as {FORMS}")
    state = fold(platforms.journal().events())
    return [artifact_named(one, state) for one in named], state
