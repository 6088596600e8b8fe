"""The process table, read once for many: what begins or ends meanwhile is seen afterwards."""

import os
import subprocess
import uuid

from tasks.adapters.process_table import find, one_look


def test_within_one_look_nobody_comes_or_goes() -> None:
    marks = {"BAKEWELL_TEST": uuid.uuid4().hex}
    with one_look():
        process = subprocess.Popen(
            ["sleep", "60"], env={**os.environ, **marks}, start_new_session=True
        )
        assert find(marks) == []
    try:
        with one_look():
            (found,) = find(marks)
            assert found.pid == process.pid
            process.kill()
            process.wait()
            assert find(marks) == [found]
            assert find({**marks, "ANOTHER": "mark"}) == []
    finally:
        process.kill()
    assert find(marks) == []
