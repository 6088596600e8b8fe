"""`bakewell policy`: what must be proved and what may be known to be wrong; asked, never changed (policies are files)."""

import getpass
import json as plain_json
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Annotated

from cyclopts import App, Parameter
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from flows import console
from flows.command import Exit
from flows.facts import facts_of
from flows.verification import artifact_of
from tasks import platforms
from tasks.adapters.openvex import vex_document
from tasks.adapters.policy_file import policies_folder, policy_names
from tasks.admit.findings import unfit_waivers, weigh
from tasks.admit.rules import judge_admission
from tasks.errors import InvalidInputError
from tasks.evidence import Kind, Ruling, ScanReport
from tasks.model import Admission
from tasks.sign import evidence
from tasks.sign.rules import newest_scan

Json = Annotated[bool, Parameter(name="--json", negative="")]

policy = App(
    name="policy",
    help="Ask the policies: which there are, what they say of an artifact, and what is waived.",
)


@policy.command(name="list")
def list_policies(*, json: Json = False) -> int:
    """Show every policy, its waivers, and what is wrong with it. Exit code 2 if one of them cannot be used.

    Parameters
    ----------
    json
        Print as JSON.
    """
    folder, today = policies_folder(), datetime.now(UTC).date()
    rows = list[dict[str, object]]()
    for name in policy_names(folder):
        try:
            found = platforms.policy(name).policy
        except InvalidInputError as error:
            rows.append({"policy": name, "problem": str(error)})
            continue
        expired = unfit_waivers(found.waivers, today)
        rows.append(
            {
                "policy": name,
                "description": found.description,
                "waivers": len(found.waivers),
                "expired": [f"{one.id} ({one.owner}, {one.expires})" for one in expired],
            }
        )
    _show(json, rows, _listed(rows, str(folder)))
    return Exit.BAD_INPUT if any("problem" in row for row in rows) else Exit.DONE


@policy.command
def judge(reference: str, name: str, *, json: Json = False) -> int:
    """Say whether an artifact may start under a policy today, with every reason. Reads only: nothing is scanned.

    Parameters
    ----------
    reference
        `repository@sha256:…`, or `service@sha256:…` of the embedded store.
    name
        Name of the policy.
    json
        Print as JSON.
    """
    chosen, artifact = platforms.policy(name), artifact_of(reference)
    platforms.store(artifact.repository).manifest(artifact.digest)
    facts = facts_of(evidence.examine(artifact), chosen.policy)
    ruling = judge_admission(facts, chosen.policy, datetime.now(UTC))
    _show(json, asdict(ruling), _ruled(reference, name, ruling))
    return Exit.DONE if ruling.answer is Admission.ADMIT else Exit.REFUSED


@policy.command
def vex(reference: str, name: str, *, author: str = "") -> int:
    """Print what the policy waives of an artifact's findings as an OpenVEX document, for other scanners.

    Parameters
    ----------
    reference
        `repository@sha256:…`, or `service@sha256:…` of the embedded store.
    name
        Name of the policy.
    author
        Who says so; this machine's user where empty.
    """
    chosen, artifact, now = platforms.policy(name), artifact_of(reference), datetime.now(UTC)
    scan = newest_scan(evidence.examine(artifact).valid(Kind.SCAN), artifact.digest)
    if not isinstance(scan, ScanReport):
        raise InvalidInputError(
            f"asked what {name} waives of {reference}; no scan that our scanner vouches for lies beside it; release it first"
        )
    waived = weigh(scan.findings, chosen.policy, artifact.service, now).by
    print(
        plain_json.dumps(vex_document(artifact, waived, author or getpass.getuser(), now), indent=2)
    )
    return Exit.DONE


def _listed(rows: list[dict[str, object]], folder: str) -> RenderableType:
    table = Table("Policy", "What it demands", "Waivers", box=None, pad_edge=False)
    for row in rows:
        told = Text(
            str(row.get("problem") or row["description"]), "red" if "problem" in row else ""
        )
        expired = row.get("expired") or []
        waivers = Text(str(row.get("waivers", "")))
        if isinstance(expired, list) and expired:
            waivers.append(f", expired: {', '.join(expired)}", "yellow")
        table.add_row(str(row["policy"]), told, waivers)
    return Group(Text(f"in {folder}", "dim"), table)


def _ruled(reference: str, name: str, ruling: Ruling) -> RenderableType:
    admitted = ruling.answer is Admission.ADMIT
    words = f"may start under policy {name}" if admitted else f"may not start under policy {name}"
    head = Text.assemble((f"{words}: ", "green" if admitted else "red"), reference)
    if not ruling.grounds:
        return Group(head, Text(ruling.reason))
    table = Table("Demand", "Of", "Waived" if admitted else "Why", box=None, pad_edge=False)
    for ground in ruling.grounds:
        table.add_row(ground.demand, ground.subject, ground.why)
    return (
        Group(head, Text(ruling.reason), Text(), table) if admitted else Group(head, Text(), table)
    )


def _show(as_json: bool, data: object, picture: RenderableType) -> None:
    if as_json:
        print(plain_json.dumps(data, indent=2, default=str))
    else:
        console.out(picture)
