"""The whole way of a frame on this machine, as an operator would run it: real broker, real Ray, real frames, three networks.

    .venv/bin/python benchmarks/stream.py --out runs/stream-bench [--frames 3000] [--data ../shared/data]

Four runs over the same kind of feed (four sensors, three frame sizes), each checked row by row with DuckDB:

1. `capacity`: a backlog, caught up as fast as possible.
2. `killed`:   the same frames; the stream process gets kill -9 in the middle and is started again.
3. `paced`:    frames arrive at 70 % of the measured capacity; latency (message time to row visible) and memory.
4. `stages`:   where the CPU time of a frame goes, by process, measured during `capacity`.

Prints one table per run and writes `report.json`, `memory.png` and `stages.png` to --out. Absolute times of a shared machine
mean little; the ratios (bare networks against the whole stream, CPU by stage) come from one run.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

import psutil

IRSTREAM = str(Path(sys.executable).with_name("irstream"))
# Sensor, path under the data folder, share of the frames.
FEEDS = (
    ("uav", "hit-uav", 0.25),
    ("tower", "irstd-1k", 0.25),
    ("sky-west", "drone-ir-clips/videos/IR_DRONE_131.mp4", 0.25),
    ("sky-east", "drone-ir-clips/videos/IR_AIRPLANE_051.mp4", 0.25),
)
TOPIC_PARTITIONS = 4


def command(*words: str) -> list[str]:
    return [IRSTREAM, *words]


@dataclass
class Memory:
    """Resident memory of a process tree over time."""

    pid: int
    series: dict[str, list[tuple[float, float]]] = field(default_factory=lambda: defaultdict(list))
    cpu_s: dict[str, float] = field(default_factory=dict)
    _done: threading.Event = field(default_factory=threading.Event)

    def watch(self) -> None:
        began = time.monotonic()
        while not self._done.wait(0.5):
            try:
                processes = [psutil.Process(self.pid), *psutil.Process(self.pid).children(recursive=True)]
            except psutil.NoSuchProcess:
                return
            for process in processes:
                try:
                    name = role_of(process)
                    key = f"{name} ({process.pid})"
                    self.series[key].append((time.monotonic() - began, process.memory_info().rss / 2**20))
                    times = process.cpu_times()
                    self.cpu_s[key] = times.user + times.system
                except psutil.Error:
                    continue

    def stop(self) -> None:
        self._done.set()


def role_of(process: psutil.Process) -> str:
    """What a process does, from its title (Ray workers name theirs after the task or actor)."""
    words = process.cmdline()
    text = " ".join(words)
    if found := re.search(r"ServeReplica:.*:(detector|segmenter|classifier)\b", text):
        return found[1]
    for mark, role in (
        ("ServeReplica", "serve other"),
        ("ServeController", "serve controller"),
        ("ReadCoordinator", "coordinator"),
        ("KafkaEpoch", "read + decode"),
        ("ray::IDLE", "idle worker"),
        ("ray::_StatsActor", "ray data stats"),
        ("ray::", "ray worker"),
        ("gcs_server", "gcs"),
        ("raylet", "raylet"),
        ("irstream", "driver"),
    ):
        if mark in text:
            return role
    return "ray other"


def run(words: Sequence[str], **options: Any) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(words, capture_output=True, text=True, check=False, **options)
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(words)} ended with {done.returncode}\n{done.stdout}\n{done.stderr}")
    return done


@contextmanager
def broker(home: Path) -> Iterator[str]:
    run(command("broker", "up", "--home", str(home)))
    try:
        yield str(json.loads(run(command("broker", "status", "--home", str(home), "--json")).stdout)["bootstrap_servers"])
    finally:
        run(command("broker", "down", "--home", str(home)))


def publish(data: Path, topic: str, num: int, environment: dict[str, str], total_fps: float = 0.0) -> list[subprocess.Popen[str]]:
    """One publisher per sensor; as fast as possible unless a total rate is given."""
    started = []
    for sensor, path, share in FEEDS:
        fps = total_fps * share
        words = command("publish", str(data / path), "--topic", topic, "--sensor", sensor, "--fps", f"{fps:.3f}", "--loop", "--json")
        words += ["--limit", str(round(num * share)), "--create-topic", "--partitions", str(TOPIC_PARTITIONS)]
        started.append(subprocess.Popen(words, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True))
        if total_fps == 0.0:
            finish(started[-1])
    return started


def finish(process: subprocess.Popen[str]) -> str:
    out, err = process.communicate(timeout=1800)
    if process.returncode != 0:
        raise SystemExit(f"{process.args!r} ended with {process.returncode}\n{out}\n{err}")
    return out


def stream(topic: str, table: Path, environment: dict[str, str], log: IO[str], *flags: str) -> subprocess.Popen[str]:
    words = command("stream", "--topic", topic, "--table", str(table), "--json", *flags)
    return subprocess.Popen(words, env=environment, stdout=subprocess.PIPE, stderr=log, text=True, start_new_session=True)


def check(table: Path, topic: str, environment: dict[str, str]) -> dict[str, Any]:
    """Rows against the broker's offsets, by DuckDB."""
    import duckdb
    from deltalake import DeltaTable

    from pipeline.kafka.settings import KafkaSettings
    from pipeline.kafka.topics import end_offsets

    results = DeltaTable(str(table)).to_pyarrow_table()
    database = duckdb.connect()
    database.register("results", results)
    rows, positions, sensors, sizes, ok, rejected = database.sql(
        "select count(*), count(distinct (source_topic, source_partition, source_offset)), count(distinct sensor_id), "
        "count(distinct (width_px, height_px)), count(*) filter (status = 'ok'), count(*) filter (status = 'rejected') from results"
    ).fetchall()[0]
    settings = KafkaSettings(bootstrap_servers=environment["IRSTREAM_KAFKA__BOOTSTRAP_SERVERS"], topic=topic)
    expected = sum(end_offsets(settings, topic).values())
    holes = database.sql(
        "select count(*) from (select source_partition, max(source_offset) + 1 - count(distinct source_offset) as holes "
        "from results group by 1) where holes > 0"
    ).fetchall()[0][0]
    return {
        "messages": expected,
        "rows": rows,
        "distinct_positions": positions,
        "partitions_with_holes": holes,
        "ok": ok,
        "rejected": rejected,
        "sensors": sensors,
        "sizes": sizes,
        "exactly_once": rows == positions == expected and holes == 0,
    }


def caught_up(topic: str, table: Path, environment: dict[str, str], out: Path, name: str) -> tuple[dict[str, Any], Memory]:
    with (out / f"{name}.log").open("w") as log:
        process = stream(topic, table, environment, log, "--until-caught-up")
        memory = Memory(process.pid)
        watcher = threading.Thread(target=memory.watch)
        watcher.start()
        summary = json.loads(finish(process))
        memory.stop()
        watcher.join()
    return summary, memory


def count_rows(table: Path) -> int:
    from deltalake import DeltaTable
    from deltalake.exceptions import TableNotFoundError

    try:
        return int(DeltaTable(str(table)).count())
    except TableNotFoundError:
        return 0


def killed(topic: str, table: Path, environment: dict[str, str], out: Path, num: int) -> dict[str, Any]:
    """Kill -9 of the stream process when about a third of the rows are visible, then a second start."""
    with (out / "killed.log").open("w") as log:
        process = stream(topic, table, environment, log, "--until-caught-up")
        while count_rows(table) < num // 3:
            if process.poll() is not None:
                raise SystemExit("the stream ended before it could be killed")
            time.sleep(0.2)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        killed_at = time.monotonic()
    before = count_rows(table)
    summary, _ = caught_up(topic, table, environment, out, "killed-restarted")
    return {
        "rows_before_the_kill": before,
        "rows_after_the_restart": summary["progress"]["frames_out"],
        "restart_s": time.monotonic() - killed_at,
    }


def paced(
    data: Path, topic: str, table: Path, environment: dict[str, str], out: Path, num: int, fps: float
) -> tuple[dict[str, Any], Memory]:
    """Frames arrive while the stream runs; it is stopped by a signal when they have their rows."""
    warm_up = command("publish", str(data / FEEDS[0][1]), "--topic", topic, "--sensor", "warm-up", "--fps", "0", "--limit", "16")
    run([*warm_up, "--create-topic", "--partitions", str(TOPIC_PARTITIONS)], env=environment)
    with (out / "paced.log").open("w") as log:
        process = stream(topic, table, environment, log)
        memory = Memory(process.pid)
        watcher = threading.Thread(target=memory.watch)
        watcher.start()
        while count_rows(table) < 16:
            time.sleep(0.5)
        publishers = publish(data, topic, num, environment, fps)
        for publisher in publishers:
            finish(publisher)
        while count_rows(table) < num + 16:
            time.sleep(0.5)
        process.send_signal(signal.SIGINT)
        summary = json.loads(finish(process))
        memory.stop()
        watcher.join()
    return summary, memory


def plot(memory: Memory, stages: dict[str, float], out: Path) -> None:
    import matplotlib

    matplotlib.use("agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(11, 5), layout="constrained")
    by_size = sorted(memory.series.items(), key=lambda item: -max(value for _, value in item[1]))
    for index, (name, series) in enumerate(each for each in by_size if len(each[1]) > 20):
        # There are ten colours.
        axes.plot([at for at, _ in series], [value for _, value in series], "-" if index < 10 else "--", label=name)
    axes.set(xlabel="seconds", ylabel="resident memory, MiB", title="Memory of every process, frames at 70 % of capacity", ylim=(0, None))
    figure.legend(fontsize=7, loc="outside right upper")
    figure.savefig(out / "memory.png", dpi=110)
    figure, axes = plt.subplots(figsize=(8, 4), layout="constrained")
    axes.barh(list(stages)[::-1], list(stages.values())[::-1])
    axes.set(xlabel="CPU milliseconds per frame", title="Where the CPU time of a frame goes")
    figure.savefig(out / "stages.png", dpi=110)


def cpu_by_role(memory: Memory, num: int) -> dict[str, float]:
    """CPU milliseconds per frame and role (start-up included: it is spread over all frames)."""
    totals: dict[str, float] = defaultdict(float)
    for name, seconds in memory.cpu_s.items():
        totals[name.rsplit(" (", 1)[0]] += seconds * 1e3 / num
    return dict(sorted(totals.items(), key=lambda item: -item[1]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("IRSTREAM_DATA", "../shared/data")))
    parser.add_argument("--frames", type=int, default=3000)
    parser.add_argument("--runs", nargs="+", default=["capacity", "killed", "paced"], choices=["capacity", "killed", "paced"])
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    report: dict[str, Any] = {"frames": options.frames, "cpus": os.cpu_count()}
    with broker(options.out / "broker") as address:
        environment = os.environ | {"IRSTREAM_KAFKA__BOOTSTRAP_SERVERS": address}
        publish(options.data, "capacity", options.frames, environment)
        if "capacity" in options.runs:
            table = options.out / "capacity"
            summary, memory = caught_up("capacity", table, environment, options.out, "capacity")
            report["capacity"] = summary | {"check": check(table, "capacity", environment)}
            report["cpu_ms_per_frame"] = cpu_by_role(memory, options.frames)
            show("capacity", report["capacity"])
            print(json.dumps(report["cpu_ms_per_frame"], indent=2))
        if "killed" in options.runs:
            table = options.out / "killed"
            report["killed"] = killed("capacity", table, environment, options.out, options.frames)
            report["killed"]["check"] = check(table, "capacity", environment)
            print("killed", json.dumps(report["killed"], indent=2))
        if "paced" in options.runs:
            fps = 0.7 * steady_fps(report["capacity"])
            table = options.out / "paced"
            summary, memory = paced(options.data, "paced", table, environment, options.out, options.frames, fps)
            report["paced"] = summary | {"check": check(table, "paced", environment), "offered_fps": fps}
            report["rss_mib"] = {
                name: {"last": series[-1][1], "most": max(mib for _, mib in series)} for name, series in memory.series.items()
            }
            show("paced", report["paced"])
            plot(memory, report["cpu_ms_per_frame"], options.out)
    (options.out / "report.json").write_text(json.dumps(report, indent=2))


def steady_fps(summary: dict[str, Any]) -> float:
    progress = summary["progress"]
    return float(progress["frames_out"]) / float(progress["elapsed_s"])


def show(name: str, summary: dict[str, Any]) -> None:
    print(f"{name}: {summary['check']}")
    print(
        f"  {steady_fps(summary):.1f} frames/s, latency p50 {summary['latency_p50_s']:.2f} s, p99 {summary['latency_p99_s']:.2f} s, "
        f"generations {summary['progress']['generation']}"
    )
    print(f"  stages, ms per frame: { {stage: round(ms, 2) for stage, ms in summary['stage_ms_mean'].items()} }")


if __name__ == "__main__":
    main()
