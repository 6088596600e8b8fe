"""Two workers on one PostgreSQL: Prefect's database and the journal there, and each release is done exactly once."""

import pytest

pytestmark = [pytest.mark.engine, pytest.mark.slow, pytest.mark.timeout(300)]
