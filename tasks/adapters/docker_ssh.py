"""A Docker Engine behind SSH: OpenSSH's own client carries each connection to `docker system dial-stdio` over there.

As the docker command does it, so that whoever may use the engine by that may use it by us: ~/.ssh/config, agent, jump hosts
and known hosts are OpenSSH's business. Nothing is asked of a person: what ssh would ask about, it refuses.
"""

import shutil
import socket
import subprocess
import tempfile
import threading
from dataclasses import dataclass
from typing import IO, Any, Final, NoReturn
from urllib.parse import urlsplit

from requests import PreparedRequest
from requests.adapters import HTTPAdapter
from urllib3 import HTTPConnectionPool, HTTPResponse
from urllib3.connection import HTTPConnection

from tasks.errors import RefusedError, TransientError

CONNECT_SECONDS: Final = 15
LAST_SECONDS: Final = 5
NO_SUCH_COMMAND: Final = 127
_AT_DOOR: Final = threading.BoundedSemaphore(6)
"""Of those who have not logged in yet sshd turns some away if there are more than 10 (MaxStartups)."""
_OPTIONS: Final = (
    *("-T", "-o", "BatchMode=yes", "-o", f"ConnectTimeout={CONNECT_SECONDS}"),
    *("-o", "ServerAliveInterval=15", "-o", "ServerAliveCountMax=3"),  # a machine may vanish
)

_REFUSALS: Final = (
    (
        "IDENTIFICATION HAS CHANGED",
        "somebody may be in between: ask the machine's owner for its host key before you change known_hosts",
    ),
    (
        "Host key verification failed",
        "compare the machine's host key with what its owner says, and add it to known_hosts (`ssh HOST` asks); no unknown is believed",
    ),
    (
        "Permission denied (",
        "have a key that the machine accepts without a question: in an agent, or named in ~/.ssh/config",
    ),
    (
        "permission denied while trying to connect",
        "whoever logs in there may not use the engine: make them a member of its group (docker)",
    ),
)


class SshEndedError(OSError):
    """ssh ended before the engine answered. `code` is its exit code, 255 for its own failures; `words` are its last ones."""

    def __init__(self, code: int, words: str) -> None:
        super().__init__(words or f"ssh ended with {code}")
        self.code, self.words = code, words


@dataclass(frozen=True)
class Login:
    """Who at which host: a name that ssh knows, perhaps from its configuration. `user` empty, `port` None: as that says."""

    host: str
    user: str
    port: int | None

    def words(self) -> tuple[str, ...]:
        """As ssh's arguments."""
        user = ("-l", self.user) if self.user else ()
        port = ("-p", str(self.port)) if self.port else ()
        return (*user, *port, "--", self.host)


def login(address: str) -> Login:
    """`address` is ssh://[USER@]HOST[:PORT]. RefusedError if it is anything else, or there is no ssh here."""
    try:
        parts = urlsplit(address)
        port = parts.port
    except ValueError as error:
        _refuse(str(error))
    if parts.password is not None:
        _refuse("a password, which every process here could read; let a key log in")
    if not parts.hostname or parts.path not in ("", "/") or parts.query or parts.fragment:
        _refuse("something else")
    if shutil.which("ssh") is None:
        raise RefusedError(
            "asked for a Docker engine behind SSH; found no ssh on PATH; install OpenSSH's client (Debian: apt-get install"
            " openssh-client), or reach the engine by tcp:// with TLS"
        )
    return Login(parts.hostname, parts.username or "", port)


def _refuse(found: str) -> NoReturn:
    raise RefusedError(f"DOCKER_HOST by SSH is ssh://[USER@]HOST[:PORT]; found {found}; correct it")


def machine(there: Login) -> str:
    """The name or IP address under which ssh looks for the host."""
    asked = subprocess.run(
        ["ssh", "-G", *there.words()],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=CONNECT_SECONDS,
        check=False,
    )
    if asked.returncode:
        raise SshEndedError(asked.returncode, asked.stderr.strip())
    names = (line.split(" ", 1) for line in asked.stdout.splitlines() if " " in line)
    return dict(names).get("hostname", there.host)


def told_error(asked: str, ended: SshEndedError) -> TransientError | RefusedError:
    """What ssh, or the command over there, meant by its last words."""
    found = f"asked {asked}; ssh ended: {ended}"
    if ended.code == NO_SUCH_COMMAND:
        return RefusedError(
            f"{found}; install the docker command there, too: we speak with its `docker system dial-stdio`"
        )
    for word, next_step in _REFUSALS:
        if word in ended.words:
            return RefusedError(f"{found}; {next_step}")
    return TransientError(f"{found}; see that `ssh HOST docker version` works, and try again")


class SshAdapter(HTTPAdapter):
    """For a requests.Session: whatever a URL's host is, the engine behind `there` is asked."""

    def __init__(self, there: Login, connections: int) -> None:
        super().__init__()
        self._pool = _Pool("localhost", maxsize=connections, there=there)

    def get_connection_with_tls_context(self, *_: object, **__: object) -> HTTPConnectionPool:
        return self._pool

    def request_url(self, request: PreparedRequest, _proxies: object) -> str:
        return request.path_url

    def close(self) -> None:
        super().close()
        self._pool.close()


class _Connection(HTTPConnection):
    def __init__(self, *arguments: Any, there: Login, **more: Any) -> None:
        super().__init__(*arguments, **more)
        self._there, self._at_door = there, False
        self._ssh: _Ssh | None = None

    def connect(self) -> None:
        if not _AT_DOOR.acquire(timeout=2 * CONNECT_SECONDS):
            raise SshEndedError(255, "too many want to be let in at once")
        self._at_door = True
        self._ssh = _Ssh(self._there)
        self.sock = self._ssh.line
        self.sock.settimeout(self.timeout)

    def getresponse(self) -> HTTPResponse:  # type: ignore[override]  # as urllib3 has it
        """SshEndedError if there is none because ssh ended."""
        try:
            return super().getresponse()
        except ConnectionError as error:
            raise (self._ssh.ended() if self._ssh else error) from error
        finally:
            self._let_in()

    def close(self) -> None:
        """A response may still be read: ssh is not ended here, it ends with the last who reads."""
        self._let_in()
        super().close()

    def _let_in(self) -> None:
        if self._at_door:
            self._at_door = False
            _AT_DOOR.release()


class _Ssh:
    """One process of it. It ends when nobody holds `line` any more: also when this process is killed.

    A socket, not pipes: then what is late is late by the same timeouts as on any other connection.
    """

    def __init__(self, there: Login) -> None:
        self.line, its = socket.socketpair()
        words = tempfile.TemporaryFile()  # noqa: SIM115 - the watcher closes it. Not a pipe: it would fill
        with its:
            self._process = subprocess.Popen(
                ("ssh", *_OPTIONS, *there.words(), "docker system dial-stdio"),
                stdin=its.fileno(),
                stdout=its.fileno(),
                stderr=words,
                start_new_session=True,  # Ctrl-C is for us, who may still have to ask something
            )
        self._said = ""
        self._watcher = threading.Thread(target=self._watch, args=(words,), daemon=True)
        self._watcher.start()

    def ended(self) -> SshEndedError:
        """Why. To be asked when `line` is at its end."""
        self._watcher.join(LAST_SECONDS)
        return SshEndedError(self._process.returncode or 0, self._said)

    def _watch(self, words: IO[bytes]) -> None:
        """Until it ends: no zombie is left."""
        with words:
            self._process.wait()
            words.seek(0)
            self._said = " ".join(words.read().decode(errors="replace").split())


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Connection
