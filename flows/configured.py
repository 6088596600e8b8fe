"""What people have set for an installation: can all of it be used? Asked before anything of it starts, and while it is up.

Of secrets only that they are there: nobody else's right to clone is looked at, for another machine may be the one that clones.
"""

import os
from collections.abc import Callable, Iterator
from typing import Final

from flows.parts import RECEIVER_PORT
from tasks.adapters.notify_file import address_of, notify_settings
from tasks.adapters.repositories_file import read_repositories, read_secret, repositories_file
from tasks.errors import InvalidInputError

HIGHEST_PORT: Final = 65535


def check_settings() -> None:
    """InvalidInputError names every setting that cannot be used, and what to do."""
    if found := list(broken_settings()):
        raise InvalidInputError("; ".join(found))


def broken_settings() -> Iterator[str]:
    """A sentence for each, as things are now; none: all can be used."""
    for check in CHECKS:
        try:
            check()
        except InvalidInputError as error:
            yield str(error)


def _who_pushes() -> None:
    """$BAKEWELL_REPOSITORIES: a push whose signature cannot be checked, or whose outcome cannot be told, is better known now."""
    for one in read_repositories(repositories_file()).repositories:
        read_secret(one.secret)
        if one.status:
            read_secret(one.status.token)


def _who_is_told() -> None:
    """$BAKEWELL_NOTIFY. Whether an address is understood shows when somebody is told."""
    settings = notify_settings()
    for target in settings.targets if settings else ():
        address_of(target)


def _where_pushes_come() -> None:
    """$BAKEWELL_RECEIVER_PORT."""
    given = os.environ.get(RECEIVER_PORT) or "0"
    if not given.isascii() or not given.isdigit() or int(given) > HIGHEST_PORT:
        raise InvalidInputError(
            f"asked for ${RECEIVER_PORT}={given!r}; it must be a whole number, at most {HIGHEST_PORT}"
        )


CHECKS: Final[tuple[Callable[[], None], ...]] = (_who_pushes, _who_is_told, _where_pushes_come)
