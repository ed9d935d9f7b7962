"""An hour or a night of stream: does anything grow?

    python -m benchmarks.soak --minutes 30 --out runs/soak        (--plot-only: samples of a run, also of one cut off)

Real broker, the real `irstream stream` with the real networks, small synthetic frames of four sensors at 70 % of the
capacity measured at the start of the same run; every minute a sensor goes and a new one comes (id, size, depth). Meanwhile
`irstream table maintain` every few minutes, and a reader that counts rows and distinct positions every minute.

Writes samples.jsonl (a line as it happens), summary.json (slopes per role, warm-up left out, final audit), soak.png.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks import soak_report
from benchmarks.soak_load import Load
from benchmarks.soak_samples import Sampler, read_table
from benchmarks.stream import broker, command, count_rows, run, stream
from pipeline.kafka.settings import KafkaSettings
from pipeline.kafka.topics import ensure_topic

TOPIC, PARTITIONS = "soak", 4
SHARE_OF_CAPACITY = 0.7
SAMPLE_S, READ_S, CHANGE_S = 5.0, 60.0, 60.0
CARE_RETENTION_S, CARE_GRACE_S = 60, 300  # the least there is: a run of half an hour shall see files go


class Lines:
    """samples.jsonl: each line is on the disk as soon as it is written."""

    def __init__(self, path: Path) -> None:
        """An earlier run's lines are replaced."""
        self._file = path.open("w", buffering=1)
        self._lock = threading.Lock()
        self._began_s = time.monotonic()

    def add(self, kind: str, **values: Any) -> None:
        """One line; thread-safe."""
        with self._lock:
            self._file.write(json.dumps({"kind": kind, "at_s": round(time.monotonic() - self._began_s, 2)} | values, default=str) + "\n")


def every(seconds: float, stop: threading.Event, what: Callable[[], None], lines: Lines) -> threading.Thread:
    """Do something again and again; what goes wrong is a line, not the end."""

    def loop() -> None:
        while not stop.wait(seconds):
            try:
                what()
            except Exception as error:  # noqa: BLE001  # the run goes on and shows it
                lines.add("trouble", what=getattr(what, "__name__", ""), error=f"{type(error).__name__}: {error}"[:500])

    thread = threading.Thread(target=loop, daemon=True)
    thread.start()
    return thread


def capacity_fps(table: Path) -> float:
    """Rows a second in the middle eight tenths of the backlog: the start, when everything is loaded, says nothing."""
    from deltalake import DeltaTable

    finished = DeltaTable(str(table)).to_pyarrow_table(columns=["finished_at"]).column(0).to_pandas().sort_values()
    first, last = finished.iloc[len(finished) // 10], finished.iloc[len(finished) * 9 // 10]
    return float(0.8 * len(finished) / (last - first).total_seconds())


def wait_for_rows(table: Path, num: int, process: subprocess.Popen[str], timeout_s: float) -> bool:
    end_s = time.monotonic() + timeout_s
    while count_rows(table) < num and time.monotonic() < end_s:
        if process.poll() is not None:
            raise SystemExit(f"the stream ended by itself with {process.returncode}; see stream.log")
        time.sleep(1)
    return count_rows(table) >= num


def soak(options: argparse.Namespace, lines: Lines) -> None:
    out: Path = options.out
    table = out / "table"
    with broker(out / "broker") as address:
        status = json.loads(run(command("broker", "status", "--home", str(out / "broker"), "--json")).stdout)
        environment = os.environ | {"IRSTREAM_KAFKA__BOOTSTRAP_SERVERS": address, "IRSTREAM_SINK__ORPHAN_GRACE_S": str(CARE_GRACE_S)}
        kafka = KafkaSettings(bootstrap_servers=address, topic=TOPIC)
        ensure_topic(kafka, TOPIC, PARTITIONS)
        load = Load(kafka, lambda report: lines.add("sensors", **report))
        load.burst(options.capacity_frames)
        with (out / "stream.log").open("w") as log:
            process = stream(TOPIC, table, environment, log)
            try:
                _soak(options, lines, load, process, Sampler(process.pid, int(status["pid"]), kafka, table), environment)
            finally:
                if process.poll() is None:
                    os.killpg(process.pid, signal.SIGKILL)
        audit = subprocess.run(
            command("audit", "--topic", TOPIC, "--table", str(table), "--json"),
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        lines.add("audit", rc=audit.returncode, **(json.loads(audit.stdout) if audit.stdout else {"stderr": audit.stderr[-2000:]}))


def _soak(
    options: argparse.Namespace, lines: Lines, load: Load, process: subprocess.Popen[str], sampler: Sampler, environment: dict[str, str]
) -> None:
    table = options.out / "table"
    stop = threading.Event()
    threads = [every(SAMPLE_S, stop, lambda: lines.add("sample", **sampler.sample()), lines)]
    if not wait_for_rows(table, options.capacity_frames, process, 900):
        raise SystemExit("the backlog was not caught up within 15 minutes; see stream.log")
    fps = capacity_fps(table)
    lines.add("capacity", fps=fps, offered_fps=SHARE_OF_CAPACITY * fps, frames=options.capacity_frames, cpus=os.cpu_count())
    print(f"capacity {fps:.1f} frames/s, offered {SHARE_OF_CAPACITY * fps:.1f}", flush=True)

    def care() -> None:
        words = command("table", "maintain", "--table", str(table), "--older-than", f"{CARE_RETENTION_S}s", "--json")
        done = subprocess.run(words, env=environment, capture_output=True, text=True, check=False)
        lines.add("care", rc=done.returncode, **(json.loads(done.stdout) if done.stdout else {"stderr": done.stderr[-2000:]}))

    lines.add("paced")
    threads.append(every(READ_S, stop, lambda: lines.add("reader", **read_table(table)), lines))
    threads.append(every(60 * options.care_minutes, stop, care, lines))
    load.run_at(SHARE_OF_CAPACITY * fps, CHANGE_S)
    end_s = time.monotonic() + 60 * options.minutes
    while time.monotonic() < end_s and process.poll() is None:
        time.sleep(1)
    load.end()
    lines.add("load_ended", sent=load.num_sent)
    caught_up = process.poll() is None and wait_for_rows(table, load.num_sent, process, 300)
    stop.set()
    for thread in threads:
        thread.join(120)
    process.send_signal(signal.SIGINT)
    summary, _ = process.communicate(timeout=300)
    report = json.loads(summary) if summary else {}
    kept = {name: report.get(name) for name in ("drained", "latency_p50_s", "latency_p99_s", "stage_ms_mean", "progress")}
    lines.add("stream", rc=process.returncode, caught_up=caught_up, sent=load.num_sent, rows=count_rows(table), **kept)


def report(out: Path, warm_up_s: float) -> None:
    lines = soak_report.read_lines(out / "samples.jsonl")
    summary = soak_report.summarise(lines, warm_up_s)
    (out / "summary.json").write_text(json.dumps(summary, indent=2, default=str))
    soak_report.plot(lines, out / "soak.png", warm_up_s)
    for role, found in summary["slope_by_role"].items():
        mib = found["mib"]
        words = "too short for a slope" if mib is None else f"{mib['per_hour']:+8.1f} MiB/h [{mib['low']:+.1f}, {mib['high']:+.1f}]"
        print(f"{role:18s} {found['last_mib'] or 0:8.0f} MiB {words}")
    audit = summary["audit"] or {}
    verdict = "clean" if audit.get("clean") else audit or "none"
    doubles, reads = summary["reads_with_doubles"], summary["reads"]
    print(f"audit: {verdict}; reads with doubles: {doubles} of {reads}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=30, help="of paced load, after the capacity was measured")
    parser.add_argument("--capacity-frames", type=int, default=400)
    parser.add_argument("--care-minutes", type=float, default=4)
    parser.add_argument("--warm-up-minutes", type=float, default=soak_report.WARM_UP_S / 60, help="left out of the slopes")
    parser.add_argument("--plot-only", action="store_true", help="only read samples.jsonl again")
    options = parser.parse_args()
    options.out = options.out.resolve()
    options.out.mkdir(parents=True, exist_ok=True)
    try:
        if not options.plot_only:
            soak(options, Lines(options.out / "samples.jsonl"))
    finally:
        report(options.out, 60 * options.warm_up_minutes)


if __name__ == "__main__":
    main()
