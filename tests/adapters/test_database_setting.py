"""Where Prefect's server keeps what it knows: only PostgreSQL, and no password where all can read it."""

import pytest

from tasks.adapters.database_setting import DATABASE, checked
from tasks.errors import InvalidInputError


@pytest.mark.parametrize(
    "given", ["postgresql://u@host/prefect", "postgresql+psycopg://u@host/prefect"]
)
def test_prefect_gets_the_driver_that_it_brings(given: str) -> None:
    assert checked(given) == "postgresql+asyncpg://u@host/prefect"


def test_a_password_is_refused_without_repeating_it() -> None:
    with pytest.raises(InvalidInputError, match=DATABASE) as caught:
        checked("postgresql://u:hunter2@host/prefect")
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("given", ["sqlite:///file.db", "mysql://host/x", "no url"])
def test_anything_but_postgresql_is_refused(given: str) -> None:
    with pytest.raises(InvalidInputError):
        checked(given)
