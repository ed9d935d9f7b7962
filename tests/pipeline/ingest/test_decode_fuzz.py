"""`decode_record` on arbitrary records: an outcome each time, in bounded time and memory.

    python -m tests.pipeline.ingest.test_decode_fuzz 5000

decodes so many inputs of each grammar under limits of memory and time, and says what became of them.
"""

from __future__ import annotations

import random
import resource
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings

from contracts.frame import Frame
from contracts.limits import InputLimits
from contracts.result import DeadLetter
from pipeline.ingest.decode import decode_record
from tests.fuzz_grammars import GRAMMARS
from tests.fuzz_messages import Fuzz, messages


@pytest.mark.slow
@settings(max_examples=400)
@given(messages)
def test_an_arbitrary_record_is_a_frame_or_a_letter(message: Fuzz) -> None:
    outcome = decode_record(message.record(), InputLimits())
    assert isinstance(outcome, Frame | DeadLetter)
    if isinstance(outcome, DeadLetter):
        assert outcome.reason.value != "poison", outcome.detail
        assert outcome.detail.startswith("expected ")
    else:
        assert min(outcome.pixels_HW.shape) >= InputLimits().min_side_px


def outcomes_of(name: str, num: int) -> Counter[str]:
    """Inputs of a grammar by what became of them: `ok`, or the reason."""
    outcomes = Counter[str]()
    for number in range(num):
        value = GRAMMARS[name](random.Random(f"{name}/{number}"))
        outcome = decode_record(Fuzz(b"cam-1", value, ()).record(), InputLimits())
        outcomes[outcome.reason.value if isinstance(outcome, DeadLetter) else "ok"] += 1
    return outcomes


@pytest.mark.parametrize("name", GRAMMARS)
def test_whatever_the_grammar_of_a_format_allows_is_a_frame_or_a_letter(name: str) -> None:
    outcomes = outcomes_of(name, 250)
    assert outcomes["poison"] == 0
    assert outcomes["ok"] >= 15, outcomes  # or it would try one door only
    assert len(outcomes) >= 3, outcomes


_UNDER_LIMITS = """
import resource, time
from contracts.limits import InputLimits
from pipeline.ingest.decode import decode_record
from tests.bad_inputs import GOOD
from tests.fuzz_messages import seeded
from tests.pipeline.ingest.test_decode import record_of

messages = seeded(500, 5)
for message in GOOD:  # load every library first
    decode_record(record_of(message), InputLimits())
pages = int(open("/proc/self/statm").read().split()[0])
most = pages * resource.getpagesize() + 384 * 2**20
resource.setrlimit(resource.RLIMIT_AS, (most, most))
resource.setrlimit(resource.RLIMIT_CPU, (120, 120))
slowest = 0.0
for message in messages:
    began = time.process_time()
    decode_record(message.record(), InputLimits())
    slowest = max(slowest, time.process_time() - began)
print(slowest)
"""


@pytest.mark.slow
def test_hostile_records_need_little_memory_and_time_each() -> None:
    """Among 500 are all kinds of values and damages, some dozens of times.

    Beyond the memory limit an allocation fails, and a MemoryError is let through; beyond the CPU limit the process is killed.
    """
    done = subprocess.run([sys.executable, "-c", _UNDER_LIMITS], capture_output=True, text=True, timeout=280, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    assert float(done.stdout) < 2.0, "CPU seconds of the slowest message"


def main(num: int) -> None:
    """So many inputs of each grammar in 384 MiB beyond what the libraries take; an allocation beyond them ends the process."""
    for name in GRAMMARS:
        outcomes_of(name, 20)  # load every library first
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    most = pages * resource.getpagesize() + 384 * 2**20
    resource.setrlimit(resource.RLIMIT_AS, (most, most))
    for name in GRAMMARS:
        began = time.process_time()
        outcomes = outcomes_of(name, num)
        print(f"{name}: {num} inputs in {time.process_time() - began:.1f} CPU s: {dict(outcomes.most_common())}", flush=True)
        if outcomes["poison"]:
            sys.exit("a decoder let an exception out that nobody foresaw")


if __name__ == "__main__":
    main(int(sys.argv[1]))
