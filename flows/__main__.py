"""The `bakewell` command. On a fresh clone `python3 -m flows` first fetches what the lock file names."""

import sys

from flows.bootstrap import ensure_environment


def main() -> None:
    """Run the command line; the exit codes are listed in flows/command.py."""
    ensure_environment("flows", sys.argv[1:])
    from flows.command import run

    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()
