"""What the benchmark commands share."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import wraps

from contracts.errors import StopPipeline


def reports_mistakes(main: Callable[[], None]) -> Callable[[], None]:
    """Decorator of a `main`: what a person must change is printed as a message, with the exit code of wrong use (2)."""

    @wraps(main)
    def reporting() -> None:
        try:
            main()
        except StopPipeline as error:
            print(f"error: {error}", file=sys.stderr)
            sys.exit(error.exit_code)

    return reporting
