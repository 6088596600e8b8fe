"""One engine, registry and home for all tests of containers on a worker."""

from collections.abc import Iterator

import pytest

from tests.e2e.conftest import Bakewell, home_of_its_own
from tests.e2e.docker_service import Yard, yard


@pytest.fixture(scope="package")
def there(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Yard]:
    with yard(tmp_path_factory.mktemp("yard")) as found:
        yield found


@pytest.fixture(scope="package")
def bakewell(there: Yard) -> Iterator[Bakewell]:
    """With a home of its own: it can be taken down while the engine is still there."""
    with home_of_its_own() as found:
        yield found
