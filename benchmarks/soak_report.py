"""From the samples of a soak run, whole or cut off: slopes with their confidence interval, and the picture."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

WARM_UP_S = 300.0
_BLOCK_S = 60.0  # means of a minute: neighbouring samples are no independent ones


def read_lines(path: Path) -> dict[str, list[dict[str, Any]]]:
    """Lines by their kind; a last line that was cut off is left out."""
    found: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for line in path.read_text().splitlines():
        try:
            entry = json.loads(line)
        except json.JSONDecodeError:
            continue
        found[entry["kind"]].append(entry)
    return found


def slope(at_s: Sequence[float], values: Sequence[float]) -> dict[str, float] | None:
    """Least squares over means of a minute: units per hour with its 95 % confidence interval; None with fewer than four minutes."""
    from scipy import stats

    blocks: dict[int, list[tuple[float, float]]] = defaultdict(list)
    for at, value in zip(at_s, values, strict=True):
        blocks[int(at // _BLOCK_S)].append((at, value))
    if len(blocks) < 4:
        return None
    means = np.array([np.mean(block, axis=0) for block in blocks.values()])
    fit = stats.linregress(means[:, 0] / 3600, means[:, 1])
    half = float(stats.t.ppf(0.975, len(means) - 2) * fit.stderr)
    return {"per_hour": float(fit.slope), "low": float(fit.slope) - half, "high": float(fit.slope) + half, "minutes": float(len(means))}


def summarise(lines: dict[str, list[dict[str, Any]]], warm_up_s: float = WARM_UP_S) -> dict[str, Any]:
    """What a soak run says, warm-up left out of the slopes."""
    samples = lines["sample"]
    began_s = lines["paced"][0]["at_s"] if lines["paced"] else 0.0
    late = [sample for sample in samples if began_s + warm_up_s <= sample["at_s"] <= _end(lines)]
    roles = sorted({role for sample in samples for role in sample["rss_mib"]})
    slopes = {}
    for role in roles:
        slopes[role] = {
            "mib": _of(late, "rss_mib", role),
            "handles": _of(late, "handles", role),
            "last_mib": next((sample["rss_mib"][role] for sample in reversed(late or samples) if role in sample["rss_mib"]), None),
        }
    stored = [sample for sample in late if sample["object_store_bytes"] is not None]
    readers = lines["reader"]
    return {
        "minutes": round(samples[-1]["at_s"] / 60, 1) if samples else 0,
        "warm_up_s": warm_up_s,
        "capacity": {key: value for entry in lines["capacity"] for key, value in entry.items() if key not in ("kind", "at_s")},
        "slope_by_role": slopes,
        "object_store_mib": slope([each["at_s"] for each in stored], [each["object_store_bytes"] / 2**20 for each in stored]),
        "files": {name: max((sample[name] or 0 for sample in samples), default=0) for name in ("files", "stored_files", "log_files")},
        "most_lag": max((sample["lag"] for sample in late), default=None),
        "reads": len(readers),
        "reads_with_doubles": sum(entry["rows"] != entry["positions"] for entry in readers),
        "sensors_that_came_and_went": len(lines["sensors"]),
        "care": [{key: entry[key] for key in ("at_s", "rc", "merged", "deleted_files") if key in entry} for entry in lines["care"]],
        "audit": lines["audit"][-1] if lines["audit"] else None,
        "stream": lines["stream"][-1] if lines["stream"] else None,
    }


def _end(lines: dict[str, list[dict[str, Any]]]) -> float:
    return float(lines["load_ended"][0]["at_s"]) if lines["load_ended"] else float("inf")


def _of(samples: Sequence[dict[str, Any]], name: str, key: str) -> dict[str, float] | None:
    pairs = [(sample["at_s"], sample[name][key]) for sample in samples if key in sample[name]]
    return slope([at for at, _ in pairs], [value for _, value in pairs])


def plot(lines: dict[str, list[dict[str, Any]]], out: Path, warm_up_s: float = WARM_UP_S) -> None:
    """Six panels over time; dashed lines: `irstream table maintain`, grey: warm-up."""
    import matplotlib

    matplotlib.use("agg")
    import matplotlib.pyplot as plt

    samples = lines["sample"]
    minutes = [sample["at_s"] / 60 for sample in samples]
    figure, panels = plt.subplots(3, 2, figsize=(14, 12), sharex=True, layout="constrained")
    roles = sorted({role for sample in samples for role in sample["rss_mib"]}, key=lambda role: -_most(samples, "rss_mib", role))
    colour_of = plt.get_cmap("tab20")  # a whole number is the place of a colour
    for axes, name, title in ((panels[0, 0], "rss_mib", "resident memory by role, MiB"), (panels[0, 1], "handles", "open handles by role")):
        for index, role in enumerate(roles):
            axes.plot(minutes, [sample[name].get(role, np.nan) for sample in samples], label=role, color=colour_of(index % 20), lw=1.2)
        axes.set(title=title, ylim=(0, None))
    panels[0, 0].legend(fontsize=7, ncols=3)
    store = [np.nan if sample["object_store_bytes"] is None else sample["object_store_bytes"] / 2**20 for sample in samples]
    panels[1, 0].plot(minutes, store)
    panels[1, 0].set(title="shared memory in use, MiB (object store; pages stay once written)", ylim=(0, None))
    for name, label in (("files", "files of the newest version"), ("stored_files", "data files stored"), ("log_files", "log files")):
        panels[1, 1].plot(minutes, [np.nan if sample[name] is None else sample[name] for sample in samples], label=label)
    panels[1, 1].set(title="files of the table", ylim=(0, None))
    panels[1, 1].legend(fontsize=8)
    panels[2, 0].plot(minutes, [sample["lag"] for sample in samples], label="lag, messages")
    panels[2, 0].set(title="messages without a row", xlabel="minutes", ylim=(0, None))
    read_at = [entry["at_s"] / 60 for entry in lines["reader"]]
    for name in ("p50_s", "p99_s"):
        panels[2, 1].plot(read_at, [entry[name] for entry in lines["reader"]], "o-", ms=3, label=name)
    panels[2, 1].set(title="message time to outcome, seconds, last minute", xlabel="minutes", ylim=(0, None))
    panels[2, 1].legend(fontsize=8)
    began_s = lines["paced"][0]["at_s"] if lines["paced"] else 0.0
    for axes in panels.flat:
        axes.axvspan(0, (began_s + warm_up_s) / 60, color="0.93", zorder=0)
        for entry in lines["care"]:
            axes.axvline(entry["at_s"] / 60, color="0.6", ls="--", lw=0.7)
        axes.set_xlim(0, max(minutes, default=1))
    figure.savefig(out, dpi=100)


def _most(samples: Sequence[dict[str, Any]], name: str, role: str) -> float:
    return float(max(sample[name].get(role, 0.0) for sample in samples))
