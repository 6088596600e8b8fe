"""Assemble the folder that Bakewell's own image is baked from: `python deployments/images/bakewell/assemble.py FOLDER --base
docker.io/library/python@sha256:… --repository registry.example.org/bakewell`, then `bakewell bake FOLDER`.

The packages are those of uv.lock for this machine, each with the hashes that stand there, and without those for development.
"""

import argparse
import shutil
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from packaging.markers import Marker

HERE: Final = Path(__file__).resolve().parent
ROOT: Final = HERE.parents[2]
COPIED: Final = ("flows", "tasks", "deployments")
NOT_COPIED: Final = shutil.ignore_patterns("__pycache__", "*.pyc")


def assemble(folder: Path, base: str, repository: str = "") -> None:
    """Everything that service.yaml names, beside it. An older folder is replaced as a whole. Without a repository the image is
    baked into the embedded store."""
    if folder.exists() and any(folder.iterdir()) and not (folder / "service.yaml").exists():
        raise SystemExit(f"{folder} holds something else; name a folder that is empty or not there")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for name in COPIED:
        shutil.copytree(ROOT / name, folder / name, ignore=NOT_COPIED)
    shutil.copy(ROOT / "prefect.yaml", folder)
    recipe = (HERE / "service.yaml").read_text().replace("base: scratch #", f"base: {base} #")
    if repository:
        recipe = recipe.replace(
            "service: bakewell\n", f"service: bakewell\nrepository: {repository}\n"
        )
    (folder / "service.yaml").write_text(recipe)
    (folder / "bakewell.dist-info").mkdir()
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    (folder / "bakewell.dist-info" / "METADATA").write_text(metadata(project))
    (folder / "requirements.txt").write_text(requirements((ROOT / "uv.lock").read_text()))


def metadata(project: Mapping[str, Any]) -> str:
    """By which Python and scanners know the version of what is not installed, only copied (PyPA's core metadata)."""
    named = ("Name", "name"), ("Version", "version"), ("Summary", "description")
    lines = [f"{field}: {project[key]}" for field, key in named]
    return "\n".join(["Metadata-Version: 2.1", *lines, f"License: {project['license']}", ""])


def requirements(lock: str, package: str = "bakewell") -> str:
    """A requirements file with hashes: the package's dependencies and theirs, as far as this machine needs them."""
    packages = {one["name"]: one for one in tomllib.loads(lock)["package"] if _is_for_here(one)}
    needed = dict.fromkeys(_needed(packages, package))
    return "".join(_line(packages[name]) for name in sorted(needed) if name != package)


def _is_for_here(package: Mapping[str, Any]) -> bool:
    """Of some packages uv.lock has several versions, each for some versions of Python."""
    markers = package.get("resolution-markers", [])
    return not markers or any(Marker(one).evaluate() for one in markers)


def _needed(packages: Mapping[str, Any], package: str) -> Iterator[str]:
    waiting, seen = [(package, "")], set[tuple[str, str]]()
    while waiting:
        name, extra = waiting.pop()
        if (name, extra) in seen:
            continue
        seen.add((name, extra))
        yield name
        found = packages[name]
        wanted = found.get("optional-dependencies", {}).get(extra, []) if extra else []
        for one in (*found.get("dependencies", []), *wanted):
            if "marker" not in one or Marker(one["marker"]).evaluate({"extra": ""}):
                waiting += [(one["name"], extra) for extra in ("", *one.get("extra", []))]


def _line(package: Mapping[str, Any]) -> str:
    """Only wheels: nothing is built while baking."""
    hashes = [str(one["hash"]) for one in package.get("wheels", [])]
    if not hashes:
        raise SystemExit(f"{package['name']} {package['version']} has no wheel in uv.lock")
    return (
        " \\\n    ".join(
            (f"{package['name']}=={package['version']}", *(f"--hash={one}" for one in hashes))
        )
        + "\n"
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description="Assemble the folder that Bakewell's image is baked from."
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--base", required=True, help="image with Python and git, by digest")
    parser.add_argument("--repository", default="", help="where the image goes: host/name")
    given = parser.parse_args()
    assemble(given.folder, given.base, given.repository)
