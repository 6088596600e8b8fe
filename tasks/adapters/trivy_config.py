"""All of Trivy's configuration that we use, typed: Trivy ignores settings whose names it does not know.

Everything is said, because Trivy would otherwise pick up .trivyignore, trivy.yaml, trivy-secret.yaml and modules from
where it is started and from the home folder. Names are Trivy's own with `_` for `-`; a test asks Trivy whether it knows
them all.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, is_dataclass
from pathlib import Path
from typing import Any, Final

SCANNERS: Final = ("vuln", "secret", "license")
WITHOUT_DATABASE: Final = ("secret", "license")
EVERYTHING: Final = ("UNKNOWN", "LOW", "MEDIUM", "HIGH", "CRITICAL")


@dataclass(frozen=True)
class Cache:
    """`backend`: fs keeps what was seen of each layer, memory nothing."""

    dir: str
    backend: str = "fs"


@dataclass(frozen=True)
class Database:
    repository: tuple[str, ...] = ()
    skip_update: bool = True
    java_skip_update: bool = True
    no_progress: bool = True


@dataclass(frozen=True)
class Scan:
    scanners: tuple[str, ...] = SCANNERS
    offline: bool = True
    skip_version_check: bool = True
    disable_telemetry: bool = True
    show_suppressed: bool = True


@dataclass(frozen=True)
class Image:
    """Where the image is: `source` remote, or `input` an OCI layout folder."""

    source: tuple[str, ...] = ()
    input: str = ""


@dataclass(frozen=True)
class Vulnerability:
    ignore_unfixed: bool = False
    ignore_status: tuple[str, ...] = ()
    vex: tuple[str, ...] = ()
    skip_vex_repo_update: bool = True


@dataclass(frozen=True)
class Secret:
    config: str


@dataclass(frozen=True)
class Module:
    """WebAssembly modules in there would be loaded and may change results."""

    dir: str
    enable_modules: tuple[str, ...] = ()


@dataclass(frozen=True)
class Server:
    """`addr` empty: no server. Its token goes by environment, never in here."""

    addr: str = ""


@dataclass(frozen=True)
class Config:
    """One run's."""

    timeout: str
    cache: Cache
    ignorefile: str
    ignore_policy: str
    secret: Secret
    module: Module
    insecure: bool = False
    list_all_pkgs: bool = True
    exit_code: int = 0
    severity: tuple[str, ...] = EVERYTHING
    db: Database = field(default_factory=Database)
    scan: Scan = field(default_factory=Scan)
    image: Image = field(default_factory=Image)
    vulnerability: Vulnerability = field(default_factory=Vulnerability)
    server: Server = field(default_factory=Server)

    def told(self) -> dict[str, Any]:
        """As Trivy reads it: JSON, which is YAML."""
        found: Mapping[str, Any] = _told(self)
        return dict(found)


def config(work: Path, cache: Path, seconds: float, backend: str = "fs") -> Config:
    """Defaults for one run in `work`: nothing ignored, nothing loaded, nothing downloaded."""
    nothing, empty = work / "nothing", work / "empty"
    nothing.touch()
    empty.mkdir(exist_ok=True)
    return Config(
        timeout=f"{max(1, int(seconds))}s",
        cache=Cache(str(cache), backend),
        ignorefile=str(nothing),
        ignore_policy="",
        secret=Secret(str(work / "no-secret-rules-of-our-own")),
        module=Module(str(empty)),
    )


def _told(value: Any) -> Any:
    if is_dataclass(value):
        return {
            one.name.replace("_", "-"): _told(getattr(value, one.name)) for one in fields(value)
        }
    return list(value) if isinstance(value, tuple) else value
