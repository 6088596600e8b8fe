"""Evidence beside an artifact: written, verified and read with the keys of this machine. Knows nothing of Prefect."""

from collections.abc import Sequence

from tasks import platforms
from tasks.adapters.cosign import Cosign
from tasks.evidence import Attested, Dossier, Statement
from tasks.model import Artifact


def sign(artifact: Artifact) -> None:
    """As builder, in both formats of cosign. VerificationFailedError if what is there afterwards does not hold."""
    _cosign(artifact).sign(artifact)


def attest(artifact: Artifact, statements: Sequence[Statement]) -> None:
    """Each by the key of its role; all read back and verified. VerificationFailedError if they do not hold."""
    _cosign(artifact).attest(artifact, statements)


def examine(artifact: Artifact) -> Dossier:
    """Everything that lies beside it, and what it is worth. TransientError if its store does not answer."""
    return _cosign(artifact).examine(artifact)


def present(artifact: Artifact, pieces: Sequence[str]) -> bool:
    """Are exactly these pieces (`Dossier.pieces`) still what lies beside it? Cheap: asks for digests, verifies nothing.

    TransientError if its store does not answer.
    """
    return _cosign(artifact).present(artifact, pieces)


def trust() -> str:
    """A fingerprint of every key that is trusted now, and for what: evidence may be worth something else by others."""
    return platforms.keys().trust()


def resign(artifact: Artifact) -> tuple[Attested, ...]:
    """Sign again, with today's keys, what only leaving keys vouch for. Returns what that was."""
    return _cosign(artifact).resign(artifact)


def _cosign(artifact: Artifact) -> Cosign:
    return Cosign(platforms.store(artifact.repository), platforms.keys())
