"""What a person can type. Each command asks one flow or one rule and shows the answer; `--json` is for machines.

Exit codes: 0 done; 1 a fault of Bakewell's own; 2 bad input; 3 the release was stopped or rolled back; 4 refused
(not admitted, held by somebody else, evidence broken); 5 the outside world did not answer; 6 drift was found, and stands;
130 interrupted.
"""

import json
import os
import sys
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from enum import IntEnum
from pathlib import Path
from typing import Annotated, Any

from cyclopts import App, CycloptsError, Parameter
from rich.console import Group, RenderableType

from flows import console
from flows.stopped import StoppedError
from tasks.errors import BakewellError, InvalidInputError, NotFoundError, TransientError

Json = Annotated[bool, Parameter(name="--json", negative="")]

app = App(
    name="bakewell",
    help="Replace, never patch: takes a service from its source to production, and back.",
    version="0.3.0",
)

# Imported only when asked for: the judge's numpy must not slow down `bakewell status`.
for where, words in {
    "explain": "Show why a release was promoted, or not: the evidence.",
    "judge": "Ask the judge: what it will see, what it would have said, how often it is wrong.",
}.items():
    app.command(f"flows.command_judge:{where}", help=words)
for where, words in {
    "diff": "Compare two artifacts: packages, vulnerabilities, files, configuration.",
    "inspect": "Show an artifact's chain: source, base, packages, findings, verdicts, where it runs.",
}.items():
    app.command(f"flows.command_evidence:{where}", help=words)
for where, words in {
    "drift": "Look for what somebody changed past us, everywhere; with --heal replace it.",
