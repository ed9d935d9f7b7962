"""The command `irstream`, also `python -m irstream`: the root packages are pinned before code of theirs is imported."""

from __future__ import annotations

import os
import sys

import irstream_names

_EXIT_WRONG_USE = 2


def main() -> None:
    """Run the command line."""
    _open_what_is_closed()
    try:
        irstream_names.pin(irstream_names.HERE)
        from deploy.cli.main import main as command
    except Exception as error:
        advice = irstream_names.advice(error)
        if advice is None:
            raise
        print(f"error: {advice}", file=sys.stderr)
        sys.exit(_EXIT_WRONG_USE)
    command()


def _open_what_is_closed() -> None:
    """Give stdin, stdout and stderr that the caller closed (`>&-`) a place: the next file that is opened would take it."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
    for number, name in ((1, "stdout"), (2, "stderr")):
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(number, "w", encoding="utf-8", closefd=False))


if __name__ == "__main__":
    main()
