"""An engine on another machine, as far as one machine can show it: TCP, TLS both ways, published ports."""

from pathlib import Path

import pytest
from certifi import where

from tasks.adapters import docker_engine as adapter
from tasks.errors import RefusedError
from tasks.model import EnsureGroup, Group, Role, ShiftTraffic
from tests.support.asking import ask
from tests.support.docker_engine import docker_engine
from tests.support.docker_ground import docker_ground
from tests.support.docker_tls import certificates
from tests.support.engines import free_port
from tests.support.grounds import Behaviour

pytestmark = pytest.mark.engine


def test_an_engine_is_used_by_tls_and_not_without_a_certificate(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    certificates(tmp_path)
    address = f"tcp://127.0.0.1:{free_port()}"
    pems = ("--tlscacert", "ca"), ("--tlscert", "server-cert"), ("--tlskey", "server-key")
    options = [word for option, name in pems for word in (option, str(tmp_path / f"{name}.pem"))]
    with (
        docker_engine("-H", address, "--tlsverify", *options) as engine,
        docker_ground(engine, tmp_path) as ground,
    ):
        one = Group("r1", ground.make_artifact("1", Behaviour.HEALTHY), 1, 100, Role.STABLE)
        with monkeypatch.context() as remote:
            remote.setenv("DOCKER_HOST", address)
            with pytest.raises(RefusedError, match="HTTPS server"):
                adapter.engine()
            remote.setenv(
                "REQUESTS_CA_BUNDLE", where()
            )  # whom the web is believed is another matter
            remote.setenv("DOCKER_TLS_VERIFY", "1")
            remote.setenv("DOCKER_CERT_PATH", str(tmp_path))
            assert adapter.engine().machine == "127.0.0.1"
            ground.fleet.apply(ground.environment, EnsureGroup(one), 1)
            ground.fleet.apply(ground.environment, ShiftTraffic((("r1", 100),)), 1)
            there = ground.fleet.read(ground.environment)
            assert there.groups[0].instances[0].address.startswith("127.0.0.1:")
            assert ask(there.endpoint).text == "1"
            ground.fleet.down(ground.environment, 1)
