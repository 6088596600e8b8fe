"""What a person can type about keys: `bakewell keys …`. The password of key files comes from $COSIGN_PASSWORD or the file
that $COSIGN_PASSWORD_FILE names, never from the command line; nothing secret is printed."""

import json as plain_json
from datetime import datetime
from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

from flows import console
from flows.keys import as_json, in_utc, resigned, rotated_words, table
from tasks.errors import InvalidInputError
from tasks.evidence import KeyRole
from tasks.sign import keys as changes

Json = Annotated[bool, Parameter(name="--json", negative="")]

keys = App(
    name="keys",
    help="Who signs here, and whose signatures count: list, rotate, trust, distrust.",
)


@keys.command(name="list")
def list_keys(*, json: Json = False) -> int:
    """Show who is trusted for which role, for how long, where the private half is, and who signs now.

    Parameters
    ----------
    json
        Print as JSON.
    """
    lines = changes.listed()
    if json:
        print(plain_json.dumps(as_json(lines), indent=2, default=str))
    else:
        console.out(table(lines))
    return 0


@keys.command
def rotate(role: KeyRole, *, overlap_days: float = changes.OVERLAP_DAYS, kms: str = "") -> int:
    """Let a new key sign from now on; the old one stays trusted for a while.

    Parameters
    ----------
    role
        builder, scanner or releaser.
    overlap_days
        How long what the old key has signed still counts.
    kms
        Sign with this key of AWS KMS (ARN, id or alias/NAME; ECC_NIST_P256), as boto3 is configured; else with a new file.
    """
    name = changes.rotate(role, overlap_days, kms).name
    console.out(rotated_words(changes.listed(), name))
    return 0


@keys.command(name="import")
def import_key(role: KeyRole, file: Path, *, overlap_days: float = changes.OVERLAP_DAYS) -> int:
    """Let a key that `cosign generate-key-pair` made sign from now on; the password must be the one that seals all here.

    Parameters
    ----------
    role
        builder, scanner or releaser.
    file
        The cosign.key.
    overlap_days
        How long what the old key has signed still counts.
    """
    name = changes.import_key(role, file, overlap_days).name
    console.out(rotated_words(changes.listed(), name))
    return 0


@keys.command
def trust(
    role: KeyRole,
    file: Path | None = None,
    *,
    not_before: datetime | None = None,
    not_after: datetime | None = None,
    name: str = "",
    issuer: str = "",
    subject: str = "",
) -> int:
    """Let somebody else's key (or keyless identity) count for a role; or change until when a known one does.

    Parameters
    ----------
    role
        builder, scanner or releaser.
    file
        The public key (PEM, ECDSA P-256), such as cosign.pub.
    not_before
        It counts from then on (2026-01-31T12:00; UTC unless a zone is given).
    not_after
        It counts until then.
    name
        What to call it here; else the role and the beginning of its fingerprint.
    issuer
        Instead of a file: who vouches for the identity, such as https://token.actions.githubusercontent.com.
    subject
        Instead of a file: the identity, letter by letter.
    """
    begin, end = in_utc(not_before), in_utc(not_after)
    if file is not None and not (issuer or subject):
        named = changes.trust(role, file, begin, end, name).name
    elif file is None and issuer and subject:
        named = changes.trust_identity(role, issuer, subject, begin, end, name).name
    else:
        raise InvalidInputError("name a file with a public key, or both --issuer and --subject")
    console.out(f"{named} counts for {role.value}")
    return 0


@keys.command
def distrust(name: str) -> int:
    """End the validity of a key or identity now: nothing that it has signed counts from now on.

    Parameters
    ----------
    name
        As `bakewell keys list` shows it.
    """
    role, signs = changes.distrust(name)
    console.out(f"{name} counts for nothing from now on")
    if signs:
        console.out(
            f"it was the one that signs as {role.value}: `bakewell keys rotate {role.value}` makes another"
        )
    return 0


@keys.command
def export(role: KeyRole) -> int:
    """Print the public key that signs for a role, as `cosign verify --key` reads it.

    Parameters
    ----------
    role
        builder, scanner or releaser.
    """
    print(changes.export(role), end="")
    return 0


@keys.command
def keyless(role: KeyRole) -> int:
    """Let an identity token of the surroundings (CI) sign for a role, through Sigstore; needs bakewell[keyless].

    Parameters
    ----------
    role
        builder, scanner or releaser.
    """
    changes.sign_keyless(role)
    console.out(
        f"{role.value} signs keyless from now on; `bakewell keys trust {role.value} --issuer … --subject …` says whose"
        " signatures count"
    )
    return 0


@keys.command
def resign(reference: str) -> int:
    """Sign again, with today's keys, what only keys vouch for that are about to leave.

    Parameters
    ----------
    reference
        `repository@sha256:…`, or `service@sha256:…` of the embedded store.
    """
    again = resigned(reference)
    for one in again:
        console.out(f"{one.kind or one.predicate_type}: was signed by {one.key}")
    console.out(f"{len(again)} signed again" if again else "nothing needs to be signed again")
    return 0
