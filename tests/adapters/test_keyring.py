"""Keys of this machine: made once, rotated without a gap, trusted for a time, told apart by role; damaged files count for nothing."""

import json
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from flows.command import run
from tasks import platforms
from tasks.adapters.cosign import Cosign
from tasks.adapters.cosign_key import KeyFiles
from tasks.adapters.keyring import Keyring
from tasks.adapters.layout import LayoutStore
from tasks.adapters.trusted import Trusted, read_trusted, written
from tasks.errors import CorruptError, InvalidInputError, NotFoundError, RefusedError
from tasks.evidence import KeyRole, Kind, Proof, Statement
from tasks.sign import keys as changes
from tests.support.evidence import NOW, SCAN, Clock, baked, cheap_keys, keyring

BUILDER, SCANNER = KeyRole.BUILDER, KeyRole.SCANNER
MESSAGE = b"message"


@pytest.fixture(autouse=True, scope="module")
def _keys_are_cheap() -> Iterator[None]:
    with cheap_keys():
        yield


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("BAKEWELL_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("COSIGN_PASSWORD", raising=False)
    monkeypatch.delenv("COSIGN_PASSWORD_FILE", raising=False)
    return tmp_path / "home"


def proof(keys: Keyring, role: KeyRole, signature: bytes) -> Proof:
    return keys.judged(role, [signature], MESSAGE).proof


# ---- made on first use ---------------------------------------------------------------------------


def test_keys_are_made_once_and_nobody_else_may_read_them(tmp_path: Path) -> None:
    first, second = (Keyring(tmp_path / "keys", b"secret") for _ in range(2))
    signature = first.sign(BUILDER, MESSAGE)
    assert proof(second, BUILDER, signature) is Proof.VALID
    assert proof(second, SCANNER, signature) is Proof.WRONG_ROLE
    assert second.judged(BUILDER, [signature], b"massage").proof is Proof.WRONG_KEY
    assert (tmp_path / "keys" / "builder.key").stat().st_mode & 0o077 == 0
    assert (tmp_path / "keys").stat().st_mode & 0o077 == 0


MAKE = (
    "import sys; from pathlib import Path; from tasks.adapters.keyring import KeyRole, Keyring;"
    "sys.stdout.write(Keyring(Path(sys.argv[1])).public_pem(KeyRole.BUILDER).decode())"
)


def test_processes_that_need_the_first_key_at_once_get_one(tmp_path: Path) -> None:
    command = [sys.executable, "-c", MAKE, str(tmp_path / "keys")]
    running = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(4)]
    assert len({one.communicate()[0] for one in running}) == 1


def test_a_lost_public_key_is_made_again_from_the_private_one(tmp_path: Path) -> None:
    first = Keyring(tmp_path).public_pem(BUILDER)
    (tmp_path / "builder.pub").unlink()
    assert Keyring(tmp_path).public_pem(BUILDER) == first


def test_verifying_makes_no_key(tmp_path: Path) -> None:
    signature = Keyring(tmp_path / "others").sign(BUILDER, MESSAGE)
    assert proof(Keyring(tmp_path / "keys"), BUILDER, signature) is Proof.WRONG_KEY
    assert not (tmp_path / "keys").exists()


def test_a_wrong_password_is_told_and_changes_nothing(tmp_path: Path) -> None:
    Keyring(tmp_path, b"right").sign(BUILDER, MESSAGE)
    before = (tmp_path / "builder.key").read_bytes()
    with pytest.raises(RefusedError, match="password"):
        Keyring(tmp_path, b"wrong").sign(BUILDER, MESSAGE)
    assert (tmp_path / "builder.key").read_bytes() == before


def test_the_password_can_come_from_a_file_and_never_shows(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "password").write_text("canary-of-a-password\n")
    monkeypatch.setenv("COSIGN_PASSWORD_FILE", str(tmp_path / "password"))
    assert run(["keys", "rotate", "builder"]) == 0
    assert run(["keys", "list", "--json"]) == 0
    told = capsys.readouterr()
    assert "canary" not in told.out + told.err
    key = json.loads(told.out[told.out.index("[") :])[0]["name"]
    KeyFiles(home / "keys", b"canary-of-a-password").private(key)
    monkeypatch.setenv("COSIGN_PASSWORD_FILE", str(tmp_path / "gone"))
    with pytest.raises(InvalidInputError, match="COSIGN_PASSWORD_FILE"):
        platforms.keys()


# ---- rotation ------------------------------------------------------------------------------------


def test_after_a_rotation_the_new_key_signs_and_the_old_one_counts_for_the_overlap(
    home: Path,
) -> None:
    old = platforms.keys().sign(BUILDER, MESSAGE)
    name = changes.rotate(BUILDER, overlap_days=30).name
    clock = Clock(platforms.keys().now())
    keys = keyring(home / "keys", clock)
    new = keys.sign(BUILDER, MESSAGE)
    assert keys.judged(BUILDER, [new], MESSAGE).key == name
    assert proof(keys, BUILDER, old) is Proof.VALID
    clock.now += timedelta(days=31)
    assert proof(keys, BUILDER, old) is Proof.KEY_NOT_VALID
    assert proof(keys, BUILDER, new) is Proof.VALID


def test_a_second_rotation_does_not_lengthen_the_life_of_the_first_key() -> None:
    platforms.keys().sign(BUILDER, MESSAGE)
    changes.rotate(BUILDER, overlap_days=1)
    changes.rotate(BUILDER, overlap_days=90)
    ends = [one.not_after for one in changes.listed()]
    now = platforms.keys().now()
    assert ends[0] is None
    assert sorted(round((end - now).days) for end in ends[1:] if end) == [0, 89]


def test_a_rotation_that_was_killed_before_its_last_write_changed_nothing(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = platforms.keys().public_pem(BUILDER)

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("tasks.adapters.keyring.written", killed)
        with pytest.raises(KeyboardInterrupt):
            changes.rotate(BUILDER)
    assert platforms.keys().public_pem(BUILDER) == before
    changes.rotate(BUILDER)
    assert platforms.keys().public_pem(BUILDER) != before


def test_what_a_leaving_key_vouches_for_is_signed_again_once(home: Path, tmp_path: Path) -> None:
    store = LayoutStore(tmp_path / "layout")
    artifact = baked(store, tmp_path)
    verdict = Statement(Kind.VERDICT, {"verdict": "PROMOTE"})
    old = Cosign(store, platforms.keys())
    old.sign(artifact)
    old.attest(artifact, [SCAN, verdict])
    assert old.resign(artifact) == (), "no key is leaving"
    for role in KeyRole:
        changes.rotate(role, overlap_days=1)
    clock = Clock(platforms.keys().now())
    later = Cosign(store, keyring(home / "keys", clock))
    reference = f"layout:{tmp_path / 'layout'}@{artifact.digest}"
    assert run(["keys", "resign", reference]) == 0
    assert later.resign(artifact) == ()
    clock.now += timedelta(days=2)
    dossier = later.examine(artifact)
    assert [one.proof for one in dossier.signatures] == [Proof.VALID, Proof.VALID]
    assert dossier.valid(Kind.SCAN) == (SCAN.predicate,)
    assert dossier.valid(Kind.VERDICT) == (verdict.predicate,)


# ---- trust ---------------------------------------------------------------------------------------


def test_a_machine_that_only_verifies_needs_no_private_key(home: Path, tmp_path: Path) -> None:
    builder = Keyring(tmp_path / "elsewhere")
    signature = builder.sign(BUILDER, MESSAGE)
    public = str(tmp_path / "elsewhere" / "builder.pub")
    assert run(["keys", "trust", "builder", public, "--name", "bakery"]) == 0
    keys = platforms.keys()
    assert keys.judged(BUILDER, [signature], MESSAGE).key == "bakery"
    assert proof(keys, SCANNER, signature) is Proof.WRONG_ROLE
    with pytest.raises(RefusedError, match="none can sign here"):
        keys.sign(BUILDER, MESSAGE)
    assert list((home / "keys").glob("*.key")) == []


def test_trust_can_begin_later_and_be_taken_away(tmp_path: Path) -> None:
    signature = Keyring(tmp_path / "elsewhere").sign(BUILDER, MESSAGE)
    public = str(tmp_path / "elsewhere" / "builder.pub")
    assert run(["keys", "trust", "builder", public, "--not-before", "2999-01-01"]) == 0
    (line,) = changes.listed()
    assert not line.valid
    assert run(["keys", "trust", "builder", public]) == 0
    assert proof(platforms.keys(), BUILDER, signature) is Proof.VALID
    assert run(["keys", "distrust", line.name]) == 0
    assert proof(platforms.keys(), BUILDER, signature) is Proof.KEY_NOT_VALID
    with pytest.raises(NotFoundError, match=line.name):
        changes.distrust("nobody")


def test_a_distrusted_key_signs_no_more_until_another_is_made(
    capsys: pytest.CaptureFixture[str],
) -> None:
    platforms.keys().sign(BUILDER, MESSAGE)
    assert run(["keys", "distrust", "builder"]) == 0
    assert "keys rotate builder" in capsys.readouterr().out
    with pytest.raises(RefusedError, match="keys rotate builder"):
        platforms.keys().sign(BUILDER, MESSAGE)
    changes.rotate(BUILDER)
    assert proof(platforms.keys(), BUILDER, platforms.keys().sign(BUILDER, MESSAGE)) is Proof.VALID


def test_one_key_cannot_have_two_roles(tmp_path: Path) -> None:
    Keyring(tmp_path / "elsewhere").sign(BUILDER, MESSAGE)
    public = tmp_path / "elsewhere" / "builder.pub"
    changes.trust(BUILDER, public)
    with pytest.raises(InvalidInputError, match="one role"):
        changes.trust(SCANNER, public)


def test_an_imported_key_signs_under_the_password_of_this_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COSIGN_PASSWORD", "the password")
    theirs = Keyring(tmp_path / "elsewhere", b"the password")
    signature = theirs.sign(BUILDER, MESSAGE)
    assert run(["keys", "import", "builder", str(tmp_path / "elsewhere" / "builder.key")]) == 0
    assert proof(platforms.keys(), BUILDER, signature) is Proof.VALID
    assert proof(theirs, BUILDER, platforms.keys().sign(BUILDER, MESSAGE)) is Proof.VALID
    capsys.readouterr()
    assert run(["keys", "export", "builder"]) == 0
    assert capsys.readouterr().out.encode() == theirs.public_pem(BUILDER)


@pytest.mark.parametrize(
    "arguments",
    [
        ["keys", "trust", "builder"],
        ["keys", "trust", "builder", "absent.pub"],
        ["keys", "trust", "baker", "absent.pub"],
        ["keys", "rotate", "builder", "--overlap-days", "-1"],
        ["keys", "import", "builder", "absent.key"],
        ["keys", "export", "builder"],
        ["keys", "resign", "no-digest"],
        ["keys", "distrust", "nobody"],
    ],
)
def test_bad_input_is_refused_before_anything_changes(home: Path, arguments: list[str]) -> None:
    assert run(arguments) == 2
    assert list(home.rglob("*.yaml")) == []


@pytest.mark.parametrize("content", [b"", b"no PEM", b"-----BEGIN PUBLIC KEY-----\nAAAA\n"])
def test_what_is_no_public_key_is_not_trusted(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.pub").write_bytes(content)
    with pytest.raises(InvalidInputError, match="P-256"):
        changes.trust(BUILDER, tmp_path / "x.pub")


# ---- the file ------------------------------------------------------------------------------------


def test_what_is_written_reads_back_the_same_and_holds_no_secret(home: Path) -> None:
    platforms.keys().sign(BUILDER, MESSAGE)
    changes.rotate(BUILDER)
    changes.trust_identity(SCANNER, "https://issuer.example", "https://ci.example/scan")
    path = home / "keys" / "trusted.yaml"
    trusted = read_trusted(path)
    assert written(trusted) == path.read_bytes()
    assert [one.role for one in trusted.identities] == [SCANNER]
    assert b"PRIVATE" not in path.read_bytes()
    assert "-----BEGIN PUBLIC KEY-----\n" in path.read_text()


BROKEN = {
    "no YAML": "keys: [",
    "a list": "- 1",
    "an unknown setting": "kyes: []",
    "an unknown role": "keys: [{name: a, role: baker, public: x}]",
    "a time without a zone": "keys: [{name: a, role: builder, public: x, not_after: 2026-01-01T00:00:00}]",
    "ends before it begins": (
        "keys: [{name: a, role: builder, public: x, not_before: 2026-01-02T00:00:00Z,"
        " not_after: 2026-01-01T00:00:00Z}]"
    ),
    "two of one name": "keys: [{name: a, role: builder, public: x}, {name: a, role: scanner, public: y}]",
    "two roles": "keys: [{name: a, role: builder, public: x}, {name: b, role: scanner, public: x}]",
    "nobody signs": "signs: {builder: a}",
    "the wrong role signs": (
        "{keys: [{name: a, role: builder, public: x, signer: 'file:a.key'}], signs: {scanner: a}}"
    ),
    "a path for a file": "keys: [{name: a, role: builder, public: x, signer: 'file:../../a.key'}]",
    "no key": "keys: [{name: a, role: builder, public: x}]",
}


@pytest.mark.parametrize("text", BROKEN.values(), ids=BROKEN)
def test_a_damaged_list_of_trusted_keys_trusts_nobody(home: Path, text: str) -> None:
    signature = platforms.keys().sign(BUILDER, MESSAGE)
    (home / "keys" / "trusted.yaml").write_text(text)
    with pytest.raises(InvalidInputError, match="trusted"):
        proof(platforms.keys(), BUILDER, signature)


def test_a_damaged_public_key_beside_its_private_one_is_told(tmp_path: Path) -> None:
    Keyring(tmp_path).sign(BUILDER, MESSAGE)
    (tmp_path / "builder.pub").write_text("nonsense")
    with pytest.raises(CorruptError, match="made again"):
        Keyring(tmp_path).sign(BUILDER, MESSAGE)


def test_an_empty_list_trusts_the_pairs_that_were_there_before(home: Path) -> None:
    """A home of an older Bakewell has pairs and no list: nothing changes for it."""
    signature = platforms.keys().sign(BUILDER, MESSAGE)
    assert Trusted() == read_trusted(home / "keys" / "trusted.yaml")
    assert platforms.keys().judged(BUILDER, [signature], MESSAGE).key == "builder"
    assert platforms.keys().now() > NOW


def test_what_is_trusted_has_another_fingerprint_when_the_time_of_a_key_or_identity_is_over(
    home: Path,
) -> None:
    platforms.keys().sign(BUILDER, MESSAGE)
    clock = Clock(platforms.keys().now())

    def fresh() -> str:
        return keyring(home / "keys", clock).trust()

    before = fresh()
    assert fresh() == before
    end = clock.now + timedelta(hours=1)
    changes.trust_identity(SCANNER, "https://issuer.example", "ci", not_after=end)
    with_identity = fresh()
    assert with_identity != before
    clock.now = end
    assert fresh() not in (before, with_identity)
    changes.distrust("builder")
    assert len({before, with_identity, fresh()}) == 3
