"""Builds with secrets: they reach a step through a session that only docker-buildx speaks, never by the REST API."""

import os
import shutil
import subprocess
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from signal import SIGKILL
from typing import Final

from tasks.adapters.buildkit_trace import LAST_LINES
from tasks.adapters.docker_build import PLATFORM, SILENT_SECONDS, BuiltImage, Order
from tasks.adapters.docker_engine import engine, translated
from tasks.errors import InvalidInputError, RefusedError, TransientError
from tasks.recipes import SecretReference

PLUGIN_FOLDERS: Final = (
    *("/usr/local/lib/docker/cli-plugins", "/usr/local/libexec/docker/cli-plugins"),
    *("/usr/lib/docker/cli-plugins", "/usr/libexec/docker/cli-plugins"),
)
ELSEWHERE: Final = ("DOCKER_CONTEXT", "BUILDX_BUILDER", "BUILDKIT_HOST")


@dataclass(frozen=True)
class Secret:
    """Where buildx finds it, as its --secret has it; `value` is only for looking whether it was baked, and is never shown."""

    source: str
    value: bytes

    def __repr__(self) -> str:
        return f"Secret({self.source!r})"


def secrets_of(references: Mapping[str, SecretReference], folder: Path) -> dict[str, Secret]:
    """InvalidInputError for one that is not there: BuildKit would build without it."""
    return {name: _secret(name, one, folder) for name, one in references.items()}


def _secret(name: str, reference: SecretReference, folder: Path) -> Secret:
    if reference.variable is not None:
        if (value := os.environ.get(reference.variable)) is None:
            raise InvalidInputError(
                f"asked to build with the secret {name!r}; the variable {reference.variable} is not set; set it"
            )
        return Secret(f"id={name},env={reference.variable}", value.encode())
    path = (folder / (reference.file or "")).absolute()
    try:
        return Secret(f"id={name},src={path}", path.read_bytes())
    except OSError as error:
        raise InvalidInputError(
            f"asked to build with the secret {name!r}; {path} cannot be read: {error.strerror}; correct"
            f" `bake.secrets.{name}` in service.yaml"
        ) from error


def find_buildx() -> Path:
    """RefusedError, with how to get it, where there is none."""
    own = Path(os.environ.get("DOCKER_CONFIG") or Path.home() / ".docker") / "cli-plugins"
    where = os.pathsep.join([os.environ.get("PATH", ""), str(own), *PLUGIN_FOLDERS])
    found = shutil.which("docker-buildx", path=where) or shutil.which("buildx", path=where)
    if found is None:
        raise RefusedError(
            "asked to build with secrets, which only docker-buildx can hand to a build step; it is neither on PATH nor a"
            f" plugin of docker ({own}); install it (Debian: docker-buildx, Docker's own repository: docker-buildx-plugin),"
            " or fetch what the secret is for before the build and COPY it"
        )
    return Path(found)


def build_with(
    secrets: Mapping[str, Secret],
    order: Order,
    say: Callable[[str], None],
    hide: Callable[[str], str],
) -> BuiltImage:
    """As docker_build.build; errors alike. `hide` is done to each line first: a step may write what it should not."""
    program, there = find_buildx(), engine()
    with translated("the engine for its version"):
        version = str(there.client.version()["Version"])
    say(f"building with {program.name} on Docker Engine {version}")
    environment = {name: value for name, value in os.environ.items() if name not in ELSEWHERE}
    command, last = _command(program, secrets, order), deque[str](maxlen=LAST_LINES)
    with _running(command, order, environment | {"DOCKER_HOST": there.address}) as process:
        silence = _Silence(process)
        try:
            for line in _lines(process, silence):
                last.append(hide(line))
                say(last[-1])
        finally:
            silence.end()
        code = process.wait(SILENT_SECONDS)
    if code:
        raise _failed(order, code, silence.killed, "\n".join(last))
    return BuiltImage(
        order.name, (("docker-engine", version), ("dockerfile-builder", "buildkit by buildx"))
    )


def _command(program: Path, secrets: Mapping[str, Secret], order: Order) -> list[str]:
    name, value = order.label
    pairs = [("--secret", one.source) for one in secrets.values()]
    pairs += [("--build-arg", f"{key}={given}") for key, given in order.arguments.items()]
    pairs += [("--target", order.target)] if order.target else []
    return [
        *(
            str(program),
            "build",
            "--builder",
            "default",
            "--progress",
            "plain",
            "--provenance=false",
        ),
        *("--platform", PLATFORM, "--load", "--tag", order.name, "--label", f"{name}={value}"),
        *(["--no-cache"] if order.fresh else []),
        *(word for pair in pairs for word in pair),
        *("--file", order.dockerfile, "-"),
    ]


@contextmanager
def _running(
    command: Sequence[str], order: Order, environment: Mapping[str, str]
) -> Iterator["subprocess.Popen[str]"]:
    """It does not outlive the block."""
    with order.context.open("rb") as context:
        process = subprocess.Popen(
            command,
            stdin=context,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            env=dict(environment),
            start_new_session=True,
        )
    try:
        yield process
    finally:
        _kill(process)


def _lines(process: "subprocess.Popen[str]", silence: "_Silence") -> Iterator[str]:
    assert process.stdout is not None
    for line in process.stdout:
        silence.broken()
        if text := line.rstrip():
            yield text


def _failed(order: Order, code: int, was_silent: bool, last: str) -> TransientError | RefusedError:
    """An engine that is lost meanwhile is told by its own error."""
    if was_silent:
        return TransientError(
            f"asked to build {order.dockerfile}; docker-buildx said nothing for {SILENT_SECONDS} s and was ended; bake again"
        )
    with translated(f"to build {order.dockerfile}"):
        engine().client.ping()
    return RefusedError(
        f"asked to build {order.dockerfile}; it failed (docker-buildx ended with {code}); its last lines:\n{last}\n"
        "correct the Dockerfile or what it needs, then bake again"
    )


class _Silence:
    """Ends a process that has said nothing for SILENT_SECONDS."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process, self.killed = process, False
        self._timer = self._started()

    def broken(self) -> None:
        self._timer.cancel()
        self._timer = self._started()

    def _started(self) -> threading.Timer:
        timer = threading.Timer(SILENT_SECONDS, self._over)
        timer.daemon = True
        timer.start()
        return timer

    def _over(self) -> None:
        self.killed = True
        _end(self._process)

    def end(self) -> None:
        self._timer.cancel()


def _end(process: "subprocess.Popen[str]") -> None:
    if process.poll() is None:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, SIGKILL)


def _kill(process: "subprocess.Popen[str]") -> None:
    _end(process)
    process.wait(10)
    if process.stdout is not None:
        process.stdout.close()
