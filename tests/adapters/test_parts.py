"""Parts of an installation, told from strangers."""

import os
import subprocess
from collections.abc import Iterator

import psutil
import pytest

from tasks.adapters.parts import PartProcess, answers
from tests.support.answering import Recorded, answering


@pytest.fixture
def server() -> Iterator[Recorded]:
    with answering() as found:
        yield found


def process(pid: int) -> PartProcess:
    return PartProcess("receiver", pid, "", psutil.Process(pid).create_time())


def test_a_part_is_well_if_it_is_the_one_that_answers(server: Recorded) -> None:
    assert answers(process(os.getpid()), server.url)


def test_an_answer_of_another_installation_is_no_sign_of_life(server: Recorded) -> None:
    other = subprocess.Popen(["sleep", "60"])
    try:
        assert not answers(process(other.pid), server.url)
    finally:
        other.kill()
        other.wait()


def test_a_part_that_is_gone_does_not_answer(server: Recorded) -> None:
    gone = subprocess.Popen(["sleep", "60"])
    found = process(gone.pid)
    gone.kill()
    gone.wait()
    assert not answers(found, server.url)
