"""The house itself: what lies where, what nobody may write, and that the README's commands exist."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from flows.command import app

ROOT = Path(__file__).parent.parent
READMES = [ROOT / "README.md", ROOT / "flows" / "README.md"]
MOST_README_LINES = 100
TOP = {
    "LICENSE",
    "README.md",
    "deployments",
    "flows",
    "prefect.yaml",
    "pyproject.toml",
    "tasks",
    "tests",
    "uv.lock",
}
LONGEST_LINES = 400
LONG_FOR_A_REASON: dict[str, str] = {
    "tests/adapters/test_journal.py": "one contract suite that runs on every back-end",
}
"""File -> why it may be longer."""

MACHINE_PATHS = re.compile(
    r"(?<![\w./-])(/(work|root|mnt|srv|Users)/|/home/(?!nonroot\b)\w|/opt/(pypi|wheels)|/tmp/[A-Za-z0-9])"
)
INDEX_HOSTS = re.compile(r"https?://[\w.-]*(pypi|pythonhosted|npmjs|artifactory|nexus)[\w.-]*")
MAY_NAME_THE_INDEX = {"uv.lock", "flows/fetch_uv.py"}


def tracked() -> list[Path]:
    """What is committed, or would be."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    found = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    paths = [ROOT / name for name in found.split("\0") if name]
    if not paths:
        pytest.fail("git lists no files here")
    return [path for path in paths if path.is_file()]


def texts() -> list[tuple[str, str]]:
    """Name and content of every tracked text file."""
    found = []
    for path in tracked():
        content = path.read_bytes()
        if b"\0" not in content[:8000]:
            found.append((str(path.relative_to(ROOT)), content.decode(errors="replace")))
    return found


def test_only_known_things_lie_at_the_top() -> None:
    tops = {path.relative_to(ROOT).parts[0] for path in tracked()}
    assert {name for name in tops if not name.startswith(".")} <= TOP


def test_no_module_hides_one_of_the_standard_library() -> None:
    """Where Prefect runs a flow from its file, every module beside it is a top-level one."""
    names = {path.stem for path in (ROOT / "flows").iterdir()}
    assert not names & set(sys.stdlib_module_names) - {"__init__", "__main__"}


def test_nobody_uses_mocks() -> None:
    word = "unittest" + ".mock"
    allowed = {"pyproject.toml", "tests/test_house.py"}
    assert [name for name, text in texts() if word in text and name not in allowed] == []


def test_no_file_names_a_path_of_one_machine() -> None:
    found = [
        f"{name}: {line.strip()}"
        for name, text in texts()
        if name not in ("uv.lock", "tests/test_house.py")
        for line in text.splitlines()
        if MACHINE_PATHS.search(line)
    ]
    assert found == []


def test_only_the_lock_and_the_bootstrap_name_a_package_index() -> None:
    found = {name for name, text in texts() if INDEX_HOSTS.search(text)}
    assert found <= MAY_NAME_THE_INDEX


def test_long_files_have_a_reason() -> None:
    counted = {
        name: len(text.splitlines())
        for name, text in texts()
        if name.endswith((".py", ".md", ".yaml")) or name.startswith(".ci/")
    }
    long = {name for name, lines in counted.items() if lines > LONGEST_LINES}
    assert long == LONG_FOR_A_REASON.keys(), {name: counted.get(name) for name in long}


def test_every_test_folder_is_a_package() -> None:
    """Else two files of one name hide each other."""
    folders = {path.parent for path in (ROOT / "tests").rglob("test_*.py")}
    assert [folder for folder in folders if not (folder / "__init__.py").exists()] == []


def readme_commands() -> list[str]:
    """Every `bakewell …` and `python3 -m …` the READMEs tell people to type."""
    read = "".join(one.read_text() for one in READMES)
    return sorted(set(re.findall(r"`((?:bakewell|python3 -m) [^`]+)`", read)))


def test_the_readme_names_its_two_commands() -> None:
    assert {"python3 -m flows demo", "python3 -m tests"} <= set(readme_commands())


def test_the_commands_of_the_readme_exist() -> None:
    """Asked of the command line itself, by their help."""
    wanted = {
        re.sub(r"^(bakewell|python3 -m flows)\s+", "", command).split()[0]
        for command in readme_commands()
        if command.startswith(("bakewell", "python3 -m flows"))
    }
    helped = subprocess.run(
        [sys.executable, "-m", "flows", "--help"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert helped.returncode == 0, helped.stderr
    assert {name for name in wanted if not re.search(rf"\b{name}\b", helped.stdout)} == set()


def test_every_command_is_listed_where_the_readme_says_that_all_are() -> None:
    read = (ROOT / "flows" / "README.md").read_text()
    names = [name for name in app if not name.startswith("-")]
    assert len(names) > 20
    assert [name for name in names if not re.search(rf"`(bakewell )?{name}\b", read)] == []


def test_the_files_of_the_readmes_exist() -> None:
    missing = [
        (str(one.relative_to(ROOT)), link)
        for one in READMES
        for link in re.findall(r"\]\((?!https?:|#)([^)#]+)", one.read_text())
        if not (one.parent / link).exists()
    ]
    assert missing == []


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text().splitlines()) <= MOST_README_LINES


def test_ci_runs_the_command_that_the_readme_names() -> None:
    script = (ROOT / ".ci" / "run").read_text()
    assert "python3 -m tests" in script
    assert (ROOT / ".ci" / "run").stat().st_mode & 0o111
