"""Reading from mirrors: real registries that die in the middle, lose things or lie; and who is believed."""

import base64
import json
import os
import signal
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path

import pytest

from tasks import oci, platforms
from tasks.adapters import mirrored
from tasks.adapters.layout import LayoutStore
from tasks.adapters.memory_store import MemoryStore
from tasks.adapters.mirrored import MirroredStore
from tasks.adapters.outages import Outages
from tasks.adapters.registry import RegistryStore
from tasks.errors import (
    CorruptError,
    InvalidInputError,
    NotFoundError,
    RefusedError,
    TooLargeError,
    TransientError,
)
from tasks.mirror.copying import copy_artifact
from tests.adapters.test_registry_auth import Answer, reply, serving
from tests.support.engines import free_port
from tests.support.manifests import evidence, image
from tests.support.registry import Registry, running_registry

ABSENT = f"sha256:{'0' * 64}"
SIG = "sha256-{}.sig"


@pytest.fixture
def first(tmp_path: Path) -> Iterator[Registry]:
    """One of its own for each test: it is killed."""
    with running_registry(tmp_path / "first") as running:
        yield running


@pytest.fixture(scope="module")
def second(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    with running_registry(tmp_path_factory.mktemp("second")) as running:
        yield running


def quiet(line: str) -> None:
    """Progress that nobody reads."""


def dead(name: str = "x") -> RegistryStore:
    return RegistryStore(f"127.0.0.1:{free_port()}/{name}")


def kill(registry: Registry) -> None:
    os.killpg(registry.process.pid, signal.SIGKILL)
    registry.process.wait()


@pytest.mark.engine
def test_a_registry_that_is_killed_in_the_middle_is_not_missed(
    first: Registry, second: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As everybody else has it: by way of platforms.store and $BAKEWELL_MIRRORS."""
    monkeypatch.setenv("BAKEWELL_MIRRORS", f"{first.host}={second.host}/copies")
    monkeypatch.setattr(mirrored, "KNOWN_OUTAGES", Outages())
    name, big = "team/killed", os.urandom(20_000_000)
    origin, copy = (
        RegistryStore(f"{host}/{name}") for host in (first.host, f"{second.host}/copies")
    )
    raw = image(origin, "killed")
    config, layer = oci.needed(oci.checked_manifest(raw))
    digest = origin.put_manifest(raw, "r1")
    origin.put_manifest(evidence(origin, raw, "test/scan"))
    blob = origin.put_blob(big).digest
    copy_artifact(origin, copy, digest, tmp_path, quiet)
    copy.put_blob(big)

    store = platforms.store(origin.repository)
    assert store.manifest(digest) == raw
    parts = store.stream(blob)
    begun = next(parts)
    kill(first)
    assert begun + b"".join(parts) == big
    assert b"".join(store.stream(blob)) == big
    assert store.blob(config) == copy.blob(config)
    assert store.has_blob(layer)
    assert store.resolve(digest) == digest
    assert store.resolve("r1") == digest
    assert [one.artifact_type for one in store.referrers(digest)] == ["test/scan"]
    assert "r1" in store.tags()
    for write in (lambda: store.put_blob(b"new"), lambda: store.put_manifest(raw, "r2")):
        with pytest.raises(TransientError, match=first.host):
            write()
    assert copy.tags() == ("r1",), "nothing is written to a mirror"


def breaking_off(content: bytes) -> Answer:
    """A registry whose answers end half-way."""

    def answer(handler: BaseHTTPRequestHandler, body: bytes) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(content)))
        handler.end_headers()
        handler.wfile.write(content[: len(content) // 2])
        handler.close_connection = True

    return answer


def test_a_stream_that_breaks_off_goes_on_at_the_mirror_from_its_beginning() -> None:
    content = os.urandom(3_000_000)
    mirror = MemoryStore("memory:m")
    blob = mirror.put_blob(content).digest
    with serving(breaking_off(content)) as host:
        store = MirroredStore(RegistryStore(f"{host}/half"), [mirror], Outages())
        assert b"".join(store.stream(blob)) == content
        assert store.blob(blob) == content


def test_what_the_first_has_lost_or_spoilt_is_read_from_a_mirror() -> None:
    origin, mirror = MemoryStore("memory:o"), MemoryStore("memory:m")
    raw = image(mirror)
    digest = mirror.put_manifest(raw)
    mirror.put_manifest(evidence(mirror, raw, "test/scan"))
    store = MirroredStore(origin, [mirror], Outages())
    blob = oci.needed(oci.checked_manifest(raw))[0]
    assert store.manifest(digest) == raw
    assert store.resolve(digest) == digest
    assert store.blob(blob) == mirror.blob(blob)
    assert len(store.referrers(digest)) == 1, "the first does not know the artifact at all"
    assert not store.has_blob(blob), "whoever writes must know what the first lacks"
    origin.put_blob(mirror.blob(blob))
    origin.tamper(blob, b"other bytes")
    assert store.blob(blob) == b"".join(store.stream(blob)) == mirror.blob(blob)


def test_of_evidence_the_first_answer_counts_even_if_a_mirror_has_more() -> None:
    origin, mirror = MemoryStore("memory:o"), MemoryStore("memory:m")
    raw = image(mirror)
    for part in oci.needed(oci.checked_manifest(raw)):
        origin.put_blob(mirror.blob(part))
    digest = origin.put_manifest(raw)
    mirror.put_manifest(raw)
    mirror.put_manifest(evidence(mirror, raw, "test/more"))
    mirror.put_manifest(raw, SIG.format(oci.hex_of(digest)))
    mirror.put_manifest(raw, "r9")
    store = MirroredStore(origin, [mirror], Outages())
    assert store.referrers(digest) == ()
    assert store.resolve(SIG.format(oci.hex_of(digest))) is None
    assert store.resolve("r9") is None


def test_while_the_first_is_down_nothing_is_only_believed_of_a_mirror_that_has_the_artifact() -> (
    None
):
    mirror = MemoryStore("memory:m")
    raw = image(mirror)
    signature = SIG.format(oci.hex_of(oci.digest_of(raw)))
    store = MirroredStore(dead(), [mirror], Outages())
    with pytest.raises(TransientError, match="did not answer"):
        store.referrers(oci.digest_of(raw))
    with pytest.raises(TransientError, match="did not answer"):
        store.resolve(signature)
    mirror.put_manifest(raw)
    assert store.referrers(oci.digest_of(raw)) == ()
    assert store.resolve(signature) is None
    with pytest.raises(TransientError):
        store.resolve("r1")
    with pytest.raises(TransientError):
        store.has_blob(ABSENT)


def test_all_down_is_transient_and_names_each_with_its_reason() -> None:
    one, two = dead("one"), dead("two")
    store = MirroredStore(one, [two], Outages())
    asks: list[Callable[[str], object]] = [store.manifest, store.blob, store.resolve]
    asks += [store.referrers, store.has_blob, lambda digest: list(store.stream(digest))]
    for ask in asks:
        with pytest.raises(TransientError, match="ConnectError") as failed:
            ask(ABSENT)
        for host in (one.repository, two.repository):
            assert f"{host}: asked" in str(failed.value)


def test_nobody_having_it_is_not_found_unless_somebody_might() -> None:
    store = MirroredStore(MemoryStore("memory:o"), [MemoryStore("memory:m")], Outages())
    with pytest.raises(NotFoundError, match=r"memory:o: .*memory:m: "):
        store.manifest(ABSENT)
    assert store.resolve(ABSENT) is None
    perhaps = MirroredStore(MemoryStore("memory:o"), [dead()], Outages())
    with pytest.raises(TransientError):
        perhaps.resolve(ABSENT)


def test_a_dead_mirror_does_not_disturb_who_works_with_the_first() -> None:
    store = MirroredStore(MemoryStore("memory:o"), [dead()], Outages())
    raw = image(store)
    assert store.resolve("r1") is None
    digest = store.tag_once(store.put_manifest(raw), "r1")
    assert store.resolve("r1") == store.resolve(digest) == digest
    assert store.resolve(SIG.format(oci.hex_of(digest))) is None
    assert store.referrers(digest) == ()
    assert not store.has_blob(ABSENT)


def test_a_lying_mirror_is_refused_and_named_and_the_next_one_asked() -> None:
    honest = MemoryStore("memory:honest")
    raw = image(honest)
    digest, blob = honest.put_manifest(raw), oci.needed(oci.checked_manifest(raw))[0]
    lie = image(MemoryStore("memory:other"), "lie")
    with serving(lambda handler, _: reply(handler, 200, lie)) as host:
        liar = RegistryStore(f"{host}/lies")
        store = MirroredStore(dead(), [liar], Outages())
        for ask in (store.manifest, store.blob, lambda one: list(store.stream(one))):
            with pytest.raises(TransientError, match=rf"{host}/lies.*bytes whose digest is"):
                ask(digest)
        lost = MirroredStore(MemoryStore("memory:o"), [liar], Outages())
        with pytest.raises(CorruptError, match=rf"{host}/lies.*bytes whose digest is"):
            lost.manifest(digest)
        better = MirroredStore(dead(), [liar, honest], Outages())
        assert better.manifest(digest) == raw
        assert b"".join(better.stream(blob)) == honest.blob(blob)


def test_a_first_that_refuses_us_is_no_reason_to_look_elsewhere() -> None:
    mirror = MemoryStore("memory:m")
    digest = mirror.put_manifest(image(mirror))
    with serving(lambda handler, _: reply(handler, 403)) as host:
        with pytest.raises(RefusedError, match="ask who runs the registry for the right"):
            MirroredStore(RegistryStore(f"{host}/x"), [mirror], Outages()).manifest(digest)
        closed = RegistryStore(f"{host}/x")
        assert MirroredStore(dead(), [closed, mirror], Outages()).resolve(digest) == digest


def test_who_is_down_is_remembered_for_a_while_and_asked_last() -> None:
    now, asked = [0.0], [0]

    def ill(handler: BaseHTTPRequestHandler, body: bytes) -> None:
        asked[0] += 1
        reply(handler, 503)

    mirror = MemoryStore("memory:m")
    digest = mirror.put_manifest(image(mirror))
    outages = Outages(seconds=30, clock=lambda: now[0])
    with serving(ill) as host:
        for name in ("one", "two", "one"):
            store = MirroredStore(RegistryStore(f"{host}/{name}"), [mirror], outages)
            assert store.resolve(digest) == digest
        assert asked == [1], "one registry, one outage, whatever the repository"
        with pytest.raises(TransientError):
            store.manifest(ABSENT)
        assert asked == [2], "before giving up, everybody is asked"
        now[0] = 31.0 + 30.0
        assert store.resolve(digest) == digest
        assert asked == [3]


def test_an_outage_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    mirror = MemoryStore("memory:m")
    digest = mirror.put_manifest(image(mirror))
    store = MirroredStore(dead(), [mirror], Outages())
    for _ in range(3):
        store.manifest(digest)
    (told,) = [record.message for record in caplog.records if record.name == "bakewell.mirrors"]
    assert "does not answer, others are read instead: asked GET" in told


def test_a_blob_without_end_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mirrored, "BLOB_BYTES_AT_MOST", 1_000_000)
    with serving(lambda handler, _: reply(handler, 200, b"x" * 4_000_000)) as host:
        endless = RegistryStore(f"{host}/endless")
        with pytest.raises(TooLargeError, match="more than 1000000 bytes"):
            list(MirroredStore(endless, [], Outages()).stream(ABSENT))
        mirror = MemoryStore("memory:m")
        blob = mirror.put_blob(b"honest").digest
        assert b"".join(MirroredStore(endless, [mirror], Outages()).stream(blob)) == b"honest"


def test_the_variable_is_checked_when_it_is_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BAKEWELL_MIRRORS", "nonsense")
    with pytest.raises(InvalidInputError, match="entry 1 is 'nonsense'; allowed: "):
        platforms.store("layout:/anywhere")
    monkeypatch.setenv("BAKEWELL_MIRRORS", f"layout:{tmp_path}/one=layout:{tmp_path}/two")
    copy = LayoutStore(tmp_path / "two" / "hello")
    raw = image(copy)
    store = platforms.store(f"layout:{tmp_path}/one/hello")
    assert store.repository == f"layout:{tmp_path}/one/hello"
    assert store.manifest(copy.put_manifest(raw)) == raw
    assert isinstance(platforms.store(f"layout:{tmp_path}/three"), LayoutStore)


@pytest.mark.engine
def test_each_registry_gets_its_own_password_and_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with (
        running_registry(tmp_path / "a", "ann", "apple") as one,
        running_registry(tmp_path / "b", "ben", "berry") as two,
    ):
        logins = {one.host: "ann:apple", two.host: "ben:berry"}
        auths = {
            host: {"auth": base64.b64encode(login.encode()).decode()}
            for host, login in logins.items()
        }
        (tmp_path / "config.json").write_text(json.dumps({"auths": auths}))
        monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
        monkeypatch.setenv("BAKEWELL_MIRRORS", f"{one.host}={two.host}")
        mirror = platforms.plain_store(f"{two.host}/guarded")
        digest = mirror.put_manifest(image(mirror))
        store = platforms.store(f"{one.host}/guarded")
        assert store.put_blob(b"mine").size == 4
        assert store.resolve(digest) == digest
