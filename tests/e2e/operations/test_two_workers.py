"""Two workers on one PostgreSQL: Prefect's database and the journal there, and each release is done exactly once."""

import os
import signal
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest
from pydantic import JsonValue

from tasks.adapters.journal import SqlJournal
from tasks.adapters.prefect_api import FlowRun, PrefectApi
from tasks.adapters.prefect_server import LocalPrefectServer, client_environment
from tasks.journal.rules import verify_chain
from tests.e2e.conftest import Service, copy_of_example
from tests.e2e.operations.installed import asked_again
from tests.support.engines import wait_for
from tests.support.postgres import running_postgres
from tests.support.trivy_db import write_database

pytestmark = [pytest.mark.engine, pytest.mark.slow, pytest.mark.timeout(300)]
