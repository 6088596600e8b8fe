"""Small services and wheels to bake, made on the spot: no index, no network."""

import base64
import hashlib
import io
import os
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tasks.service import ServiceSpec


def service(**bake: Any) -> ServiceSpec:
    """`hello`, baked from main.py unless told otherwise."""
    defaults = {"files": {"main.py": "/app/main.py"}, "command": ["python3", "/app/main.py"]}
    return ServiceSpec.model_validate(
        {
            "service": "hello",
            "bake": {**defaults, **bake},
            "environments": [{"name": "production", "platform": "process"}],
        }
    )


def make_wheel(
    folder: Path,
    name: str,
    files: Mapping[str, bytes],
    *,
    version: str = "1.0",
    tag: str = "py3-none-any",
    executable: str = "",
) -> Path:
    """A wheel that pip and `installer` accept; RECORD is right."""
    info = f"{name}-{version}.dist-info"
    members = {
        **files,
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n".encode(),
        f"{info}/WHEEL": f"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: {tag}\n".encode(),
    }
    rows = "".join(f'"{path}",{_record(content)}\n' for path, content in members.items())
    members[f"{info}/RECORD"] = f"{rows}{info}/RECORD,,\n".encode()
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for path, content in members.items():
            member = zipfile.ZipInfo(path)
            member.external_attr = (0o100755 if path == executable else 0o100644) << 16
            archive.writestr(member, content)
    folder.mkdir(parents=True, exist_ok=True)
    wheel = folder / f"{name}-{version}-{tag}.whl"
    wheel.write_bytes(buffer.getvalue())
    return wheel


def _record(content: bytes) -> str:
    digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).decode().rstrip("=")
    return f"sha256={digest},{len(content)}"


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def pip_uses(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """pip finds wheels in `folder` and nowhere else."""
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
