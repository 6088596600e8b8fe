"""Asking Prometheus: who asks is shown only to it, an answer that never ends is ended, and a broken one is told in a sentence."""

import json
import time
import traceback
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Final

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tasks.adapters.memory import World
from tasks.adapters.prometheus import PrometheusMetrics
from tasks.errors import MetricsUnreadableError
from tasks.model import Environment, Reading
from tasks.sources import PrometheusSource
from tests.support.answering import Recorded, answering
from tests.support.engines import wait_for
from tests.support.metrics_grounds import status_of
from tests.support.prometheus import running_prometheus
from tests.support.registry import htpasswd_file

HERE: Final = Environment("hello", "production", "memory")
SECRET: Final = "s3cr3t-t0k3n"
NOW: Final = datetime(2026, 1, 1, 12, 0, 1, tzinfo=UTC)


def metrics(url: str, **settings: Any) -> PrometheusMetrics:
    world = World()
    world.set_status(
        HERE, status_of([("r1", "r1-a", "10.0.0.1:8080"), ("r2", "r2-b", "10.0.0.2:8080")])
    )
    source = PrometheusSource.model_validate(
        {"url": url, "latency": "none", "timeout_seconds": 1, "scrape_seconds": 1, **settings}
    )
    return PrometheusMetrics(source, world.fleet, clock=lambda: NOW)


def refusal(found: PrometheusMetrics) -> str:
    """What is said; and nothing that leads to it, not even its traceback, holds the secret."""
    with pytest.raises(MetricsUnreadableError) as refused:
        found.read(HERE)
    everything = "".join(traceback.format_exception(refused.value))
    assert SECRET not in everything
    return str(refused.value)


def vector(*rows: tuple[dict[str, str], str], **more: Any) -> bytes:
    at = NOW.timestamp() - 1
    result = [{"metric": labels, "value": [at, value]} for labels, value in rows]
    data = {"resultType": "vector", "result": result}
    return json.dumps({"status": "success", "data": data, **more}).encode()


def counted(*instances: str, age: float = 0.5) -> list[tuple[dict[str, str], str]]:
    at = NOW.timestamp() - 1 - age
    return [
        row
        for name in instances
        for row in (
            ({"bakewell": "requests", "instance": name}, "100"),
            ({"bakewell": "requests scraped", "instance": name}, f"{at}"),
            ({"bakewell": "failures", "instance": name}, "3"),
        )
    ]


BOTH: Final = ("10.0.0.1:8080", "10.0.0.2:8080")


@pytest.fixture
def server() -> Iterator[Recorded]:
    with answering() as found:
        found.parts = [vector(*counted(*BOTH))]
        yield found


def test_an_answer_is_read(server: Recorded) -> None:
    found: Reading = metrics(server.url).read(HERE)
    assert found.at == NOW
    assert [(one.group, one.requests, one.failures) for one in found.instances] == [
        ("r1", 100, 3),
        ("r2", 100, 3),
    ]
    assert server.forms[0]["time"] == [f"{NOW.timestamp() - 1:.3f}"]


@pytest.mark.parametrize("names", [("r1-a", "r2-b"), ("10.0.0.1:9102", "10.0.0.2:9102"), BOTH])
def test_an_instance_is_known_by_name_address_or_host(
    server: Recorded, names: tuple[str, str]
) -> None:
    server.parts = [vector(*counted(*names))]
    assert len(metrics(server.url).read(HERE).instances) == 2


# ---- recorded answers that decide nothing --------------------------------------------------------


def saying(**changes: Any) -> Callable[[Recorded], None]:
    def change(server: Recorded) -> None:
        for name, value in changes.items():
            setattr(server, name, value)

    return change


WRONG: Final[dict[str, tuple[Callable[[Recorded], None], str]]] = {
    "a log-in page": (
        saying(parts=[b"<html>Sign in"]),
        "found something else than JSON: '<html>Sign in'",
    ),
    "half an answer": (saying(parts=[vector()[:-9]]), "found something else than JSON"),
    "other JSON": (saying(parts=[b'{"hello": 1}']), "found JSON that is no answer of Prometheus"),
    "a list": (saying(parts=[b"[]"]), "found JSON that is no answer of Prometheus"),
    "deep JSON": (saying(parts=[b"[" * 100_000]), "found something else than JSON"),
    "an error": (saying(parts=[b'{"status": "error", "error": "no"}']), "found error: no"),
    "a scalar": (
        saying(parts=[b'{"status":"success","data":{"resultType":"scalar","result":[1,"2"]}}']),
        "found a scalar where series were asked for",
    ),
    "a part of the truth": (
        saying(parts=[vector(*counted(*BOTH), warnings=["store 2 is away"])]),
        "found an answer with a warning, so perhaps not all of it: store 2 is away",
    ),
    "a broken number": (
        saying(parts=[vector(({"bakewell": "requests", "instance": BOTH[0]}, "many"))]),
        "found JSON that is no answer of Prometheus",
    ),
    "too busy": (saying(status=503, parts=[b"busy"]), "found HTTP 503 'busy'; it is ill or busy"),
    "nowhere": (saying(status=404), "found HTTP 404; give the address of its API"),
    "who are you": (saying(status=401), "found HTTP 401; it wants to know who asks"),
    "elsewhere": (
        saying(status=302, location="http://127.0.0.1:1/"),
        "found HTTP 302, sent elsewhere; give the address where it is now",
    ),
    "no series": (saying(parts=[vector()]), "found no series sum by (instance"),
    "one instance only": (
        saying(parts=[vector(*counted(BOTH[0]))]),
        "found no scrape of r2-b: the target is down, or not discovered yet",
    ),
    "an instance twice": (
        saying(parts=[vector(*counted(*BOTH, "r2-b"))]),
        "more than once for r2-b (instance=10.0.0.2:8080, instance=r2-b)",
    ),
    "an old scrape": (
        saying(parts=[vector(*counted(*BOTH, age=200))]),
        "found the newest scrape of r1-a 200 s old, 90 are allowed",
    ),
    "a scrape in the future": (
        saying(parts=[vector(*counted(*BOTH, age=-120))]),
        "found a scrape of r1-a 120 s in the future: the clock of whoever wrote its time is wrong",
    ),
    "more failures than requests": (
        saying(
            parts=[
                vector(
                    *counted(*BOTH), ({"bakewell": "failures", "instance": "10.0.0.9"}, "1")
                ).replace(b'"3"', b'"333"')
            ]
        ),
        "found 333 failures of 100 requests on r1-a: one of them counts something else",
    ),
    "a clock that is wrong, or a cache": (
        saying(date=format_datetime(datetime.now(UTC) - timedelta(minutes=10))),
        "s behind ours, or an old answer from a cache; set both clocks",
    ),
    "byte by byte": (saying(parts=[b" "] * 40, pause=0.1), "found no whole answer within 1 s"),
    "nothing": (saying(pause=3), "found no whole answer within 1 s"),
}


@pytest.mark.parametrize(("change", "told"), WRONG.values(), ids=WRONG.keys())
def test_a_recorded_answer_that_cannot_be_believed_is_told(
    server: Recorded, change: Callable[[Recorded], None], told: str
) -> None:
    change(server)
    begun = time.monotonic()
    said = refusal(metrics(server.url))
    assert told in said
    assert said.startswith(f"asked Prometheus at {server.url}")
    assert time.monotonic() - begun < 2.8


# ---- who asks ------------------------------------------------------------------------------------


def test_a_token_is_read_from_where_it_is(
    server: Recorded, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PROMETHEUS_TOKEN", SECRET)
    (tmp_path / "token").write_text(f"{SECRET}-2\n")
    metrics(server.url, authentication={"variable": "PROMETHEUS_TOKEN"}).read(HERE)
    metrics(server.url, authentication={"file": str(tmp_path / "token")}).read(HERE)
    assert server.authorizations == [f"Bearer {SECRET}", f"Bearer {SECRET}-2"]


@pytest.mark.parametrize(
    ("token", "told"),
    [
        (None, "found no secret in $PROMETHEUS_TOKEN; give the worker one"),
        ("", "found no secret in $PROMETHEUS_TOKEN"),
        (f"{SECRET}\nX: y", "found a secret in $PROMETHEUS_TOKEN that no header can hold"),
        (f"{SECRET}\u00fc", "found a secret in $PROMETHEUS_TOKEN that no header can hold"),
    ],
)
def test_a_secret_that_cannot_be_sent_is_told_without_it(
    server: Recorded, monkeypatch: pytest.MonkeyPatch, token: str | None, told: str
) -> None:
    monkeypatch.delenv("PROMETHEUS_TOKEN", raising=False)
    if token is not None:
        monkeypatch.setenv("PROMETHEUS_TOKEN", token)
    assert told in refusal(metrics(server.url, authentication={"variable": "PROMETHEUS_TOKEN"}))
    assert server.authorizations == []


def test_a_file_that_is_not_there_is_told(server: Recorded, tmp_path: Path) -> None:
    path = tmp_path / "token"
    told = refusal(metrics(server.url, authentication={"file": str(path)}))
    assert f"found {path} unreadable (No such file or directory)" in told


def test_the_secret_is_in_no_refusal(server: Recorded, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROMETHEUS_TOKEN", SECRET)
    server.status = 403
    assert "HTTP 403" in refusal(
        metrics(server.url, authentication={"variable": "PROMETHEUS_TOKEN"})
    )


# ---- a real server with users and a certificate --------------------------------------------------


@pytest.mark.engine
def test_a_real_server_is_asked_by_password_over_tls(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _certificate(tmp_path)
    hashed = htpasswd_file(tmp_path, "me", SECRET).read_text().strip().partition(":")[2]
    web = {
        "tls_server_config": {
            "cert_file": str(tmp_path / "cert.pem"),
            "key_file": str(tmp_path / "key.pem"),
        },
        "basic_auth_users": {"me": hashed},
    }
    monkeypatch.setenv("PASSWORD", SECRET)
    me = {"user": "me", "variable": "PASSWORD"}
    settings: dict[str, Any] = {"timeout_seconds": 5}
    with running_prometheus(tmp_path / "p", {}, web=json.dumps(web), scheme="https") as found:
        trusted = {**settings, "ca_file": str(tmp_path / "cert.pem")}
        known = metrics(found.url, authentication=me, **trusted)
        wait_for(lambda: "HTTP 503" not in refusal(known), 20, "Prometheus to read its own files")
        assert "found no series" in refusal(known)
        assert "found HTTP 401" in refusal(metrics(found.url, **trusted))
        monkeypatch.setenv("PASSWORD", f"{SECRET}-old")
        assert "found HTTP 401" in refusal(metrics(found.url, authentication=me, **trusted))
        assert "CERTIFICATE_VERIFY_FAILED" in refusal(metrics(found.url, **settings))
        absent = str(tmp_path / "absent.pem")
        assert "absent.pem cannot be used" in refusal(metrics(found.url, ca_file=absent))


def _certificate(folder: Path) -> None:
    """Of 127.0.0.1, signed by itself: real clocks, for a real server."""
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test")])
    names = x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))])
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(names, critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    (folder / "cert.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (folder / "key.pem").write_bytes(private)
