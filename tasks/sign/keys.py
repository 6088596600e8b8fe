"""Changes to who signs here and whose signatures count: each is one write of trusted.yaml, so nothing is ever half changed."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.asymmetric import ec
from pydantic import ValidationError

from tasks import platforms
from tasks.adapters import key_files
from tasks.adapters.cosign_key import unsealed
from tasks.adapters.keyring import FILE_SIGNER, KMS_SIGNER, Change, Keyring
from tasks.adapters.trusted import KEYLESS, TrustedIdentity, TrustedKey
from tasks.errors import InvalidInputError, NotFoundError
from tasks.evidence import KeyRole

OVERLAP_DAYS: Final = 90.0
KMS_PREFIXES: Final = (KMS_SIGNER, "awskms:///")


@dataclass(frozen=True)
class KeyLine:
    """One trusted key or identity. `fingerprint`: SHA-256 of the public key's DER encoding, empty of identities."""

    role: KeyRole
    name: str
    fingerprint: str
    not_before: datetime | None
    not_after: datetime | None
    back_end: str
    signs: bool
    valid: bool


def listed() -> list[KeyLine]:
    """Everybody who is trusted here, by role; who signs now comes first. Nothing is made."""
    keyring = platforms.keys()
    now = keyring.now()
    lines = [_line(keyring, key, now) for key in keyring.trusted.keys]
    lines += [_identity_line(keyring, one, now) for one in keyring.trusted.identities]
    roles = list(KeyRole)
    return sorted(lines, key=lambda one: (roles.index(one.role), not one.signs, one.name))


def rotate(role: KeyRole, overlap_days: float = OVERLAP_DAYS, kms: str = "") -> TrustedKey:
    """A new key signs from now on: a file, or the KMS key of that ARN, id or alias. The old one counts for a while yet."""
    _checked_overlap(overlap_days)
    keyring = platforms.keys()
    if kms:
        arn, public = keyring.kms.public(_kms_id(kms))
        return _sign_with(keyring, role, public, lambda name: f"{KMS_SIGNER}{arn}", overlap_days)
    made = ec.generate_private_key(ec.SECP256R1())
    return _sign_with(keyring, role, made.public_key(), _kept(keyring, made), overlap_days)


def import_key(role: KeyRole, file: Path, overlap_days: float = OVERLAP_DAYS) -> TrustedKey:
    """A private key in cosign's format, sealed with today's password, signs from now on; as after a rotation."""
    _checked_overlap(overlap_days)
    keyring = platforms.keys()
    key = unsealed(_content(file), keyring.files.password, file)
    return _sign_with(keyring, role, key.public_key(), _kept(keyring, key), overlap_days)


def trust(
    role: KeyRole,
    file: Path,
    not_before: datetime | None = None,
    not_after: datetime | None = None,
    name: str = "",
) -> TrustedKey:
    """Somebody else's key counts for a role. One that is trusted already gets these limits and keeps its name."""
    public = key_files.public_key(_content(file), str(file))
    with platforms.keys().changing() as change:
        limits = {"not_before": not_before, "not_after": not_after}
        known = _known(change, role, public)
        key = (known or _new(role, public, name)).model_copy(update=limits)
        change.put(key)
    return key


def trust_identity(
    role: KeyRole,
    issuer: str,
    subject: str,
    not_before: datetime | None = None,
    not_after: datetime | None = None,
    name: str = "",
) -> TrustedIdentity:
    """Whoever can show this identity to Sigstore counts for a role (keyless)."""
    keyring = platforms.keys()
    number = len(keyring.trusted.identities) + 1
    with _sound():
        identity = TrustedIdentity(
            name=name or f"{role.value}-identity-{number}",
            role=role,
            issuer=issuer,
            subject=subject,
            not_before=not_before,
            not_after=not_after,
        )
    with keyring.changing() as change:
        change.put_identity(identity)
    return identity


def sign_keyless(role: KeyRole) -> None:
    """From now on an identity token of this machine's surroundings signs for the role. Trust the identity, too."""
    with platforms.keys().changing() as change:
        change.sign_with(role, KEYLESS)


def distrust(name: str) -> tuple[KeyRole, bool]:
    """Its validity ends now. Its role, and whether it was the one that signs (which is then refused)."""
    keyring = platforms.keys()
    with keyring.changing() as change:
        found = change.trusted.named(name) or change.trusted.identity(name)
        if found is None:
            known = ", ".join(sorted(change.trusted.names())) or "nobody"
            raise NotFoundError(f"asked to distrust {name!r}; trusted here: {known}")
        now = keyring.now().replace(microsecond=0)
        begun = found.not_before if found.not_before and found.not_before <= now else None
        limits = {"not_before": begun, "not_after": _earlier(found.not_after, now)}
        ended = found.model_copy(update=limits)
        change.put(ended) if isinstance(ended, TrustedKey) else change.put_identity(ended)
        signs = isinstance(found, TrustedKey) and _signs(keyring, found)
    return found.role, signs


def export(role: KeyRole) -> str:
    """The public key that signs for a role, as PEM for `cosign verify --key`; else the one that is trusted for it."""
    keyring = platforms.keys()
    trusted = [one for one in keyring.trusted.keys if one.role is role and one.valid(keyring.now())]
    signing = [one for one in trusted if _signs(keyring, one)]
    found = (signing or trusted)[-1:]
    if not found:
        raise NotFoundError(
            f"asked for the public key of {role.value}; none is valid here; `bakewell keys rotate {role.value}` makes one"
        )
    return found[0].public


# ---- how -----------------------------------------------------------------------------------------


def _sign_with(
    keyring: Keyring,
    role: KeyRole,
    public: ec.EllipticCurvePublicKey,
    held: Callable[[str], str],
    overlap_days: float,
) -> TrustedKey:
    """The private half is stored before anything names it; then one write changes who signs."""
    with keyring.changing() as change:
        key = _known(change, role, public) or _new(role, public)
        key = key.model_copy(update={"signer": key.signer or held(key.name), "not_after": None})
        old = _holder(keyring, role)
        if old is not None and old.name != key.name:
            until = keyring.now().replace(microsecond=0) + timedelta(days=overlap_days)
            change.put(old.model_copy(update={"not_after": _earlier(old.not_after, until)}))
        change.put(key)
        change.sign_with(role, key.name)
    return key


def _kept(keyring: Keyring, key: ec.EllipticCurvePrivateKey) -> Callable[[str], str]:
    def keep(name: str) -> str:
        keyring.files.keep(name, key)
        return f"{FILE_SIGNER}{name}.key"

    return keep


def _known(change: Change, role: KeyRole, public: ec.EllipticCurvePublicKey) -> TrustedKey | None:
    text = key_files.pem(public).decode().strip()
    same = (key for key in change.trusted.keys if key.public.strip() == text and key.role is role)
    return next(same, None)


def _new(role: KeyRole, public: ec.EllipticCurvePublicKey, name: str = "") -> TrustedKey:
    short = key_files.fingerprint(public).hex()[:8]
    text = key_files.pem(public).decode()
    with _sound():
        return TrustedKey(name=name or f"{role.value}-{short}", role=role, public=text)


@contextmanager
def _sound() -> Iterator[None]:
    """What a person has typed may be no name."""
    try:
        yield
    except ValidationError as error:
        said = "; ".join(
            f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors()
        )
        raise InvalidInputError(f"{said}; nothing was changed") from error


def _signs(keyring: Keyring, key: TrustedKey) -> bool:
    chosen = _holder(keyring, key.role)
    return chosen is not None and chosen.name == key.name


def _holder(keyring: Keyring, role: KeyRole) -> TrustedKey | None:
    return None if keyring.is_keyless(role) else keyring.chosen(role)


def _line(keyring: Keyring, key: TrustedKey, now: datetime) -> KeyLine:
    public = key_files.public_key(key.public.encode(), key.name)
    back_end = key.signer or "public half only"
    return KeyLine(
        key.role,
        key.name,
        key_files.fingerprint(public).hex(),
        key.not_before,
        key.not_after,
        back_end,
        _signs(keyring, key),
        key.valid(now),
    )


def _identity_line(keyring: Keyring, one: TrustedIdentity, now: datetime) -> KeyLine:
    signs = keyring.is_keyless(one.role) and one.valid(now)
    back_end = f"keyless: {one.subject} ({one.issuer})"
    return KeyLine(
        one.role, one.name, "", one.not_before, one.not_after, back_end, signs, one.valid(now)
    )


def _earlier(one: datetime | None, other: datetime) -> datetime:
    return other if one is None else min(one, other)


def _checked_overlap(days: float) -> None:
    if not 0 <= days <= 3650:
        raise InvalidInputError(f"asked for an overlap of {days} days; give 0 to 3650")


def _kms_id(given: str) -> str:
    for prefix in KMS_PREFIXES:
        given = given.removeprefix(prefix)
    if not given or any(letter.isspace() for letter in given):
        raise InvalidInputError(f"{given!r} is no KMS key; give an ARN, an id, or alias/NAME")
    return given


def _content(file: Path) -> bytes:
    try:
        if file.stat().st_size > 100_000:
            raise InvalidInputError(f"{file} has {file.stat().st_size} bytes; that is no key")
        return file.read_bytes()
    except OSError as error:
        raise InvalidInputError(
            f"asked for the key in {file}; found {error.strerror}; check the path and who may read it"
        ) from error
