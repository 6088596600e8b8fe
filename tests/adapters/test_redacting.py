"""What an ill server repeats of our secrets is not passed on; and that the search for secrets finds what is there."""

import base64
import gzip
import sqlite3
from contextlib import closing
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from tasks.adapters.redacting import without_secrets
from tasks.adapters.registry import RegistryStore
from tasks.errors import TransientError
from tasks.settings import shown_address
from tests.adapters.test_registry_auth import reply, serving
from tests.support.canaries import Canaries

LOGIN = base64.b64encode(b"baker:sourdough").decode()


@pytest.mark.parametrize(
    ("authorization", "said", "told"),
    [
        ("Bearer abcdefgh", b"no, abcdefgh!", b"no, (secret)!"),
        (f"Basic {LOGIN}", f"{LOGIN} is sourdough".encode(), b"(secret) is (secret)"),
        ("Bearer abc", b"the abc of tokens", b"the abc of tokens"),
        ("", b"nothing was sent", b"nothing was sent"),
    ],
)
def test_what_was_sent_is_taken_out(authorization: str, said: bytes, told: bytes) -> None:
    assert without_secrets(said, {"authorization": authorization}) == told


@pytest.mark.parametrize("as_json", [True, False])
def test_a_registry_that_repeats_who_asks_is_not_repeated(as_json: bool) -> None:
    def echo(handler: BaseHTTPRequestHandler, body: bytes) -> None:
        asked = handler.headers.get("Authorization")
        if not asked:
            return reply(handler, 401, WWW_Authenticate='Basic realm="r"')
        said = f"{'x' * 150} {asked} sourdough"
        text = f'{{"errors": [{{"code": "ILL", "message": "{said}"}}]}}' if as_json else said
        return reply(handler, 500, text.encode())

    with serving(echo) as host:
        store = RegistryStore(f"{host}/echo", ("baker", "sourdough"))
        with pytest.raises(TransientError, match=r"x{150} Basic \(secret\) \(secret\)") as failed:
            store.manifest(f"sha256:{'0' * 64}")
    assert not any(one in str(failed.value) for one in (LOGIN[:8], "sourdough"))


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("host/name:tag", "'host/name:tag'"),
        ("user:pass/word@host/name", "'…@host/name'"),
        ("https://u:p@w@host/name", "'…@host/name'"),
        ("host/name@sha256:12", "'host/name@sha256:12'"),
        ("u:p@host/name@sha256:12", "'…@host/name@sha256:12'"),
    ],
)
def test_an_address_is_shown_without_what_may_be_a_password(address: str, shown: str) -> None:
    assert shown_address(address) == shown


def test_a_planted_secret_is_found_in_every_disguise(tmp_path: Path) -> None:
    canaries = Canaries()
    secret = canaries.plant("one").encode()
    for before in (b"", b"a", b"ab", b"user:"):
        assert canaries.seen_in(base64.b64encode(before + secret + b"more")) == {"one"}
    assert canaries.seen_in(b"..." + secret.hex().encode()) == {"one"}
    assert canaries.seen_in(secret[:-1]) == set()
    (tmp_path / "packed.gz").write_bytes(gzip.compress(b"x" * 100 + secret))
    (tmp_path / "plain").write_bytes(secret)
    (tmp_path / "clean").write_bytes(b"nothing")
    with closing(sqlite3.connect(tmp_path / "database")) as database:
        database.execute("CREATE TABLE told (text)")
        long = "x" * 4050 + secret.decode() + "y" * 9000
        database.execute("INSERT INTO told VALUES (?)", (long,))
        database.commit()
    assert canaries.seen_below(tmp_path).keys() == {"packed.gz", "plain", "database"}
