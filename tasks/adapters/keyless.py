"""Signing with an identity instead of a key, through Sigstore: a certificate of some minutes and an entry in its public log.

Optional: `bakewell[keyless]` brings the library, sigstore. Verifying needs no network: the log's promise is in the bundle, the
root of trust is `keys/trusted_root.json`, else the one that comes with the library. Verified in tests against a recorded
public bundle. **Not tested: signing against the real Fulcio and Rekor**, which need an identity token and the network; the
tests end where the first request would leave this machine.
"""

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Final

from tasks.adapters.cosign_bundle import UnreadableError
from tasks.adapters.trusted import TrustedIdentity
from tasks.errors import RefusedError, TransientError

if TYPE_CHECKING:
    from collections.abc import Sequence

try:
    from requests.exceptions import RequestException
    from sigstore import errors
    from sigstore.dsse import Statement
    from sigstore.models import Bundle, ClientTrustConfig, InvalidBundle, TrustedRoot
    from sigstore.oidc import ExpiredIdentity, IdentityError, IdentityToken, detect_credential
    from sigstore.sign import SigningContext
    from sigstore.verify import Verifier, policy
except ModuleNotFoundError as missing:
    raise RefusedError(
        f"asked for keyless signatures; the Python package {missing.name} is not installed; install bakewell[keyless]"
    ) from missing

TOKEN: Final = "SIGSTORE_ID_TOKEN"  # as cosign has it
ROOT_FILE: Final = "trusted_root.json"


class Keyless:
    """`folder` may hold a trusted_root.json of a Sigstore of one's own."""

    def __init__(self, folder: Path) -> None:
        self._root = folder / ROOT_FILE

    def sign(self, statement: bytes) -> bytes:
        """A bundle with certificate and log entry, by the identity token of the surroundings.

        RefusedError without a token, TransientError if Sigstore does not answer.
        """
        token = _token()
        with _translated("a keyless signature"):
            context = SigningContext.from_trust_config(ClientTrustConfig.production())
            with context.signer(IdentityToken(token)) as signer:
                return signer.sign_dsse(Statement(statement)).to_json().encode()

    def who(
        self, raw: bytes, payload: bytes, identities: "Sequence[TrustedIdentity]"
    ) -> list[TrustedIdentity] | None:
        """Those of the identities that made this bundle; none if somebody else did. None: its proofs do not hold.

        UnreadableError if it is no bundle with certificate and log entry.
        """
        try:
            bundle = Bundle.from_json(raw)
        except (InvalidBundle, ValueError) as error:
            raise UnreadableError(f"it is no keyless bundle: {error}") from error
        try:
            _, proved = self._verifier.verify_dsse(bundle, _Anybody())
        except errors.VerificationError:
            return None
        if proved != payload:
            return None
        return [one for one in identities if _is(one, bundle)]

    @cached_property
    def _verifier(self) -> Verifier:
        """Never asks the network."""
        with _translated(f"the root of trust in {self._root}"):
            if self._root.exists():
                return Verifier(trusted_root=TrustedRoot.from_file(str(self._root)))
            logging.getLogger("sigstore._internal.tuf").setLevel(logging.ERROR)
            return Verifier.production(offline=True)


class _Anybody:
    """No demand on the identity: whose it is, is asked after the proofs have held."""

    def verify(self, cert: object) -> None:
        return None


def _is(one: TrustedIdentity, bundle: Bundle) -> bool:
    try:
        wanted = policy.Identity(identity=one.subject, issuer=one.issuer)
        wanted.verify(bundle.signing_certificate)
    except errors.VerificationError:
        return False
    return True


def _token() -> str:
    if given := os.environ.get(TOKEN):
        return given
    with _translated("an identity token"):
        if found := detect_credential():
            return found
    raise RefusedError(
        "asked for a keyless signature; there is no identity token here; run it where one exists (GitHub Actions with"
        f" `id-token: write`, GitLab, Google Cloud …), set {TOKEN}, or go back to a key: `bakewell keys rotate ROLE`"
    )


@contextmanager
def _translated(what: str) -> Iterator[None]:
    try:
        yield
    except (errors.NetworkError, errors.TUFError, RequestException) as error:
        raise TransientError(
            f"asked for {what}; Sigstore did not answer ({error}); check the network, then try again"
        ) from error
    except (errors.Error, IdentityError, ExpiredIdentity, ValueError, OSError) as error:
        raise RefusedError(
            f"asked for {what}; Sigstore refused ({type(error).__name__}: {error}); check the identity token and its"
            " audience (sigstore), and that it has not expired"
        ) from error
