"""Reading which repositories may release what: $BAKEWELL_REPOSITORIES, else deployments/repositories.yaml."""

import os
from pathlib import Path
from typing import Final

from tasks.adapters.settings_file import FileKind, read_settings
from tasks.errors import InvalidInputError, NotFoundError
from tasks.pushes import Repositories, Repository, Secret

VARIABLE: Final = "BAKEWELL_REPOSITORIES"
SHIPPED: Final = Path(__file__).parents[2] / "deployments" / "repositories.yaml"
MAX_SECRET_BYTES: Final = 100_000
KIND: Final = FileKind(
    "the file of repositories",
    "it is a mapping; `repositories: []` listens to none",
    f"write it, or let ${VARIABLE} name it; deployments/repositories.yaml shows how",
)


def repositories_file() -> Path:
    return Path(os.environ.get(VARIABLE) or SHIPPED).absolute()


def read_repositories(file: Path) -> Repositories:
    """As it is now. InvalidInputError names every mistake with its line."""
    found, _ = read_settings(Repositories, file, KIND)
    return found


def repository_named(name: str, file: Path) -> Repository:
    """NotFoundError, with those that there are, if the file has none of that name: it is never cloned then."""
    everyone = read_repositories(file)
    if (found := everyone.named(name)) is None:
        there = ", ".join(one.name for one in everyone.repositories) or "none"
        raise NotFoundError(
            f"asked for the repository {name!r}, which {file} does not name (there: {there}); only those are built"
        )
    return found


def read_secret(secret: Secret) -> str:
    """What the variable or the file holds, without a last line break. InvalidInputError if that is nothing."""
    if secret.variable:
        found = os.environ.get(secret.variable, "")
    else:
        found = _content(Path(str(secret.file)))
    if not found:
        raise InvalidInputError(
            f"asked for the secret in {secret}, which is not there or empty; set it where this process is started"
        )
    return found


def _content(file: Path) -> str:
    try:
        with file.open("rb") as opened:
            raw = opened.read(MAX_SECRET_BYTES)
        return raw.decode().removesuffix("\n").removesuffix("\r")
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is no text"
        raise InvalidInputError(
            f"asked for the secret in the file {file}; it cannot be read: {why}; check the path and who may read it"
        ) from error
