"""OpenVEX in and out: others' statements as waivers, and ours as a document that scanners read (`trivy --vex`).

Spec: OpenVEX 0.2.0 (https://github.com/openvex/spec). No library: vexipy is alpha, and of the format only statements of
three kinds are needed; tests check what is written with it, and with Trivy.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import date, datetime
from typing import Any, Final

from tasks.errors import InvalidInputError
from tasks.evidence import Finding
from tasks.model import Artifact
from tasks.oci import canonical, digest_of
from tasks.policy import Justification, Waiver, WaiverStatus

CONTEXT: Final = "https://openvex.dev/ns"
VERSION: Final = "v0.2.0"
HARMLESS: Final = ("not_affected", "fixed")


def waivers_in(raw: bytes, where: str, owner: str, expires: date) -> tuple[Waiver, ...]:
    """What the document says does no harm (`not_affected`, `fixed`), as waivers that `owner` answers for.

    InvalidInputError, naming `where`, if it is no OpenVEX document of a version we know. Statements about harm, or still
    under investigation, waive nothing.
    """
    document = _document(raw, where)
    author = str(document.get("author", "an unknown author"))
    found: list[Waiver] = []
    for number, statement in enumerate(document["statements"]):
        try:
            if statement["status"] in HARMLESS:
                found.append(_waiver(statement, author, owner, expires))
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise InvalidInputError(
                f"asked to believe {where}; its statement {number} cannot be read ({error!r}); correct it, or ask {author}"
            ) from error
    return tuple(found)


def vex_document(
    artifact: Artifact, waived: Sequence[tuple[Finding, Waiver]], author: str, at: datetime
) -> dict[str, Any]:
    """Our waivers of an artifact's findings, one statement each. Its @id follows from what it says.

    OpenVEX wants at least one statement: InvalidInputError if nothing is waived.
    """
    if not waived:
        raise InvalidInputError(
            f"asked for an OpenVEX document of {artifact.reference}; none of its findings is waived, and a document without"
            " statements is not allowed (OpenVEX 0.2.0)"
        )
    statements = [_statement(artifact, found, waiver) for found, waiver in waived]
    told = {
        "@context": f"{CONTEXT}/{VERSION}",
        "author": author,
        "timestamp": at.isoformat(),
        "version": 1,
        "tooling": "bakewell",
        "statements": statements,
    }
    return {"@id": f"urn:bakewell:vex:{digest_of(canonical(told))}", **told}


def _document(raw: bytes, where: str) -> Mapping[str, Any]:
    try:
        document = json.loads(raw)
        context, statements = str(document["@context"]), document["statements"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise InvalidInputError(
            f"asked to believe {where}; it is no OpenVEX document ({error!r}); give JSON with @context and statements"
        ) from error
    known = context.rstrip("/") in (CONTEXT, f"{CONTEXT}/{VERSION}")
    if not known or not isinstance(statements, list):
        raise InvalidInputError(
            f"asked to believe {where}; its @context is {context!r}; {CONTEXT}/{VERSION} with a list of statements is known"
        )
    found: Mapping[str, Any] = document
    return found


def _waiver(statement: Mapping[str, Any], author: str, owner: str, expires: date) -> Waiver:
    justification = statement.get("justification")
    if statement["status"] == "fixed":
        justification = Justification.CODE_NOT_PRESENT.value
    said = statement.get("impact_statement") or statement.get("status_notes") or justification or ""
    return Waiver(
        id=_name(statement["vulnerability"]),
        packages=tuple(dict.fromkeys(_about(statement))),
        owner=owner,
        reason=f"{statement['status']}, says {author}: {said}",
        expires=expires,
        status=WaiverStatus.NOT_AFFECTED if justification else WaiverStatus.ACCEPTED,
        justification=Justification(justification) if justification else None,
    )


def _name(vulnerability: Any) -> str:
    """Version 0.0.x had the bare name here, and some still write it so."""
    return str(vulnerability if isinstance(vulnerability, str) else vulnerability["name"])


def _about(statement: Mapping[str, Any]) -> Iterator[str]:
    """The packages: a product's parts where it names some, else the product. None at all would be about everything."""
    products = statement["products"]
    if not products:
        raise ValueError("it names no product")
    for product in products:
        for part in product.get("subcomponents") or [product]:
            purl = (part.get("identifiers") or {}).get("purl") or part["@id"]
            yield _escaped(str(purl))


def _escaped(purl: str) -> str:
    """Without version and qualifiers it is about every version; otherwise about exactly this one, whatever its qualifiers."""
    plain = purl.partition("?")[0].replace("[", "[[]")
    versioned = "@" in plain.rpartition("/")[2]
    return f"{plain}*" if versioned else f"{plain}@*"


def _statement(artifact: Artifact, found: Finding, waiver: Waiver) -> dict[str, Any]:
    part = {"@id": found.purl} if found.purl else {"@id": f"pkg:generic/{found.package}"}
    name = artifact.repository.rpartition("/")[2]
    product = f"pkg:oci/{name}@{artifact.digest.replace(':', '%3A')}"
    told: dict[str, Any] = {
        "vulnerability": {"name": found.id},
        # The package alone, too: readers of a bill of materials know no image.
        "products": [{"@id": product, "subcomponents": [part]}, part],
        "status_notes": f"waived by {waiver.owner} until {waiver.expires}",
    }
    if waiver.justification is None:
        return {**told, "status": "affected", "action_statement": waiver.reason}
    return {**told, "status": "not_affected", "justification": waiver.justification.value}
