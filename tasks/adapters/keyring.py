"""The keys of this machine: who signs for each role, and whose signatures count for it.

One key for each role signs; several may be trusted, each for a time (trusted.yaml). A pair `<role>.key`, `<role>.pub` that
is not listed there is trusted without limits: it is made on first use. Private keys are files in cosign's format, or stay in
AWS KMS, or do not exist (keyless).
"""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from pydantic import ValidationError

from tasks.adapters import key_files
from tasks.adapters.cosign_bundle import UnreadableError, b64
from tasks.adapters.cosign_key import KeyFiles
from tasks.adapters.file_lock import locked
from tasks.adapters.trusted import (
    FILE,
    KEYLESS,
    Trusted,
    TrustedIdentity,
    TrustedKey,
    read_trusted,
    written,
)
from tasks.errors import InvalidInputError, RefusedError
from tasks.evidence import KeyRole, Proof

if TYPE_CHECKING:
    from tasks.adapters.keyless import Keyless
    from tasks.adapters.kms_key import KmsKeys

FILE_SIGNER: Final = "file:"
KMS_SIGNER: Final = "kms://"
ORDER: Final = (Proof.VALID, Proof.KEY_NOT_VALID, Proof.WRONG_ROLE)

Now = Callable[[], datetime]


@dataclass(frozen=True)
class Judged:
    """What signatures are worth, who made them (empty where nobody we know), and a sentence."""

    proof: Proof
    found: str
    key: str = ""


@dataclass(frozen=True)
class Known:
    """A trusted key, ready for use."""

    listed: TrustedKey
    public: ec.EllipticCurvePublicKey

    @property
    def hint(self) -> str:
        return b64(key_files.fingerprint(self.public))

    def made(self, signatures: Sequence[bytes], digest: bytes) -> bool:
        return any(_fits(self.public, one, digest) for one in signatures)


class Keyring:
    """`folder` holds trusted.yaml and the private keys that are files; `password` seals them, as cosign has it."""

    def __init__(
        self, folder: Path, password: bytes = b"", now: Now = lambda: datetime.now(UTC)
    ) -> None:
        self._folder = folder
        self._files = KeyFiles(folder, password)
        self._now = now

    # ---- what is known ---------------------------------------------------------------------------

    @cached_property
    def trusted(self) -> Trusted:
        """What trusted.yaml says, and the pairs beside it that it does not mention."""
        listed = read_trusted(self._folder / FILE)
        named = {key.name for key in listed.keys}
        known = {key.public.strip() for key in listed.keys}
        beside = [self._beside(role) for role in KeyRole if role.value not in named]
        more = [key for key in beside if key is not None and key.public.strip() not in known]
        return listed.model_copy(update={"keys": (*listed.keys, *more)})

    def _beside(self, role: KeyRole) -> TrustedKey | None:
        public = self._files.public(role.value)
        if public is None:
            return None
        held = f"{FILE_SIGNER}{role.value}.key" if self._files.holds(role.value) else ""
        text = key_files.pem(public).decode()
        return TrustedKey(name=role.value, role=role, public=text, signer=held)

    @cached_property
    def _known(self) -> list[Known]:
        listed = self.trusted.keys
        where = self._folder / FILE
        return [
            Known(key, key_files.public_key(key.public.encode(), f"{key.name} of {where}"))
            for key in listed
        ]

    def trust(self) -> str:
        """64 hex digits: another fingerprint means that other keys or identities count than did, or for other times."""
        now = self._now()
        everybody = (*self.trusted.keys, *self.trusted.identities)
        valid = [f"{one.name} {one.valid(now)}" for one in everybody]
        told = "\n".join([self.trusted.model_dump_json(), *valid])
        return hashlib.sha256(told.encode()).hexdigest()

    def is_keyless(self, role: KeyRole) -> bool:
        """Does a passing identity sign for this role, not a key?"""
        return self.trusted.signs.get(role) == KEYLESS

    # ---- signing ---------------------------------------------------------------------------------

    def signing(self, role: KeyRole) -> TrustedKey:
        """The key that signs for a role; made if this machine was never told of any. RefusedError if it is not valid."""
        key = self.chosen(role) or self._first(role)
        if not key.valid(self._now()):
            raise RefusedError(
                f"asked to sign as {role.value}; its key {key.name} is not valid today (from {key.not_before or 'ever'}"
                f" until {key.not_after or 'ever'}); `bakewell keys rotate {role.value}` makes another"
            )
        return key

    def sign(self, role: KeyRole, message: bytes) -> bytes:
        """DER-encoded ECDSA signature over the SHA-256 of the message."""
        key = self.signing(role)
        if key.signer.startswith(KMS_SIGNER):
            return self.kms.sign(key.signer.removeprefix(KMS_SIGNER), message)
        return self._files.private(_stem(key)).sign(message, key_files.ALGORITHM)

    def fingerprint(self, role: KeyRole) -> bytes:
        """Of the key that signs: SHA-256 of its public half's DER encoding, as Sigstore bundles hint at it."""
        return key_files.fingerprint(key_files.public_key(self.public_pem(role), role.value))

    def public_pem(self, role: KeyRole) -> bytes:
        """Of the key that signs, for `cosign verify --key`."""
        return self.signing(role).public.encode()

    def chosen(self, role: KeyRole) -> TrustedKey | None:
        """The key that signs for a role, whether it is valid or not; nothing is made.

        None: nobody has said who signs, and there is no pair either. RefusedError where it signs keyless.
        """
        name = self.trusted.signs.get(role, "")
        if name == KEYLESS:
            raise RefusedError(
                f"asked for the key of {role.value}; it signs keyless: there is none"
            )
        if name:
            return self.trusted.named(name)
        held = f"{FILE_SIGNER}{role.value}.key"
        return next((key for key in self.trusted.keys if key.signer == held), None)

    def _first(self, role: KeyRole) -> TrustedKey:
        if any(key.role is role for key in self.trusted.keys):
            raise RefusedError(
                f"asked to sign as {role.value}; keys are trusted for that, but none can sign here; `bakewell keys import"
                f" {role.value} FILE` brings one, `bakewell keys rotate {role.value}` makes a new one"
            )
        self._files.make(role.value)
        self._forget()
        found = self.chosen(role)
        if found is None:
            raise RefusedError(
                f"asked for the new key of {role.value} in {self._folder}; it is gone"
            )
        return found

    @cached_property
    def kms(self) -> "KmsKeys":
        """Imported when it is asked for: boto3 takes longer than everything else here."""
        from tasks.adapters.kms_key import KmsKeys

        return KmsKeys()

    # ---- judging ---------------------------------------------------------------------------------

    def judged(
        self, role: KeyRole, signatures: Sequence[bytes], message: bytes, hint: str = ""
    ) -> Judged:
        """Whose signatures these are, and whether that counts for the role today."""
        digest = hashlib.sha256(message).digest()
        made = [one for one in self._known if one.made(signatures, digest)]
        if made:
            return min((self._worth(one.listed, role) for one in made), key=_worst_last)
        if hint and (ours := next((one for one in self._known if one.hint == hint), None)):
            found = f"its signature does not fit what it says, and names our key {ours.listed.name}"
            return Judged(Proof.ALTERED, found)
        doubt = "" if hint else ", or it was altered since"
        return Judged(Proof.WRONG_KEY, f"no key that is trusted here made it{doubt}")

    def judged_keyless(self, role: KeyRole, raw: bytes, payload: bytes) -> Judged:
        """The same for a bundle that a certificate vouches for. UnreadableError where it cannot be checked."""
        identities = self.trusted.identities
        if not identities:
            return Judged(Proof.WRONG_KEY, "it was made keyless, and no identity is trusted here")
        try:
            made = self.keyless.who(raw, payload, identities)
        except RefusedError as error:
            raise UnreadableError(f"it was made keyless: {error}") from error
        if made is None:
            found = "certificate, log entry or signature do not fit what it says"
            return Judged(Proof.ALTERED, found)
        if not made:
            return Judged(Proof.WRONG_KEY, "no identity that is trusted here made it")
        return min((self._worth(one, role) for one in made), key=_worst_last)

    @cached_property
    def keyless(self) -> "Keyless":
        """RefusedError where the library is not installed."""
        from tasks.adapters.keyless import Keyless

        return Keyless(self._folder)

    def _worth(self, key: TrustedKey | TrustedIdentity, role: KeyRole) -> Judged:
        if key.role is not role:
            found = f"our {key.role.value} made it ({key.name}); only the {role.value} may"
            return Judged(Proof.WRONG_ROLE, found, key.name)
        if not key.valid(self._now()):
            limits = f"from {key.not_before or 'ever'} until {key.not_after or 'ever'}"
            found = f"made by the {role.value}'s key {key.name}, which is valid {limits}"
            return Judged(Proof.KEY_NOT_VALID, found, key.name)
        return Judged(Proof.VALID, f"made by our {role.value} ({key.name})", key.name)

    # ---- changing --------------------------------------------------------------------------------

    @contextmanager
    def changing(self) -> Iterator["Change"]:
        """One change at a time on this machine, written when the block ends well; else nothing was changed."""
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            with locked(self._folder / ".changing"):
                self._forget()
                change = Change(self.trusted)
                yield change
                checked = _checked(change.trusted)
                key_files.place(self._folder / FILE, written(checked), 0o644)
                self._forget()
        except OSError as error:
            raise RefusedError(
                f"asked to change {self._folder / FILE}; found {error.strerror or error}; nothing was changed; check the"
                " disk and who may write there"
            ) from error

    def vouching(self, role: KeyRole) -> set[str]:
        """Names under which what is signed for the role today will be found again."""
        if not self.is_keyless(role):
            return {self.signing(role).name}
        return {one.name for one in self.trusted.identities if one.role is role}

    @property
    def files(self) -> KeyFiles:
        """The private keys that are files here."""
        return self._files

    def now(self) -> datetime:
        return self._now()

    def _forget(self) -> None:
        for name in ("trusted", "_known"):
            self.__dict__.pop(name, None)


@dataclass
class Change:
    """What trusted.yaml will say."""

    trusted: Trusted

    def put(self, key: TrustedKey) -> None:
        """In the place of the one of that name, or as one more. InvalidInputError if the key has another name already."""
        for other in self.trusted.keys:
            if other.name != key.name and other.public.strip() == key.public.strip():
                raise InvalidInputError(
                    f"asked to trust {key.name} as {key.role.value}; it is trusted already: {other.name}, as"
                    f" {other.role.value}; a key has one role"
                )
        kept = [other for other in self.trusted.keys if other.name != key.name]
        self.trusted = self.trusted.model_copy(update={"keys": (*kept, key)})

    def put_identity(self, identity: TrustedIdentity) -> None:
        """In the place of the one of that name, or as one more."""
        kept = [other for other in self.trusted.identities if other.name != identity.name]
        self.trusted = self.trusted.model_copy(update={"identities": (*kept, identity)})

    def sign_with(self, role: KeyRole, name: str) -> None:
        signs = {**self.trusted.signs, role: name}
        self.trusted = self.trusted.model_copy(update={"signs": signs})


def _checked(trusted: Trusted) -> Trusted:
    try:
        return Trusted.model_validate(trusted.model_dump())
    except ValidationError as error:
        found = "; ".join(one["msg"] for one in error.errors())
        raise InvalidInputError(f"{found}; nothing was changed") from error


def _fits(public: ec.EllipticCurvePublicKey, signature: bytes, digest: bytes) -> bool:
    try:
        public.verify(signature, digest, key_files.PREHASHED)
    except InvalidSignature:
        return False
    return True


def _worst_last(one: Judged) -> int:
    return ORDER.index(one.proof)


def _stem(key: TrustedKey) -> str:
    return key.signer.removeprefix(FILE_SIGNER).removesuffix(".key")
