"""The command `irstream`, also `python -m irstream`: the root packages are pinned before code of theirs is imported."""

from __future__ import annotations

import sys

import irstream_names

_EXIT_WRONG_USE = 2


def main() -> None:
    """Run the command line."""
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


if __name__ == "__main__":
    main()
