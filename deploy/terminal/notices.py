"""Lines about a stream beside its figures: what is away and back, sensors that fell silent and came back; and its pace in words."""

from __future__ import annotations

from typing import TYPE_CHECKING

from deploy.terminal.words import seconds

if TYPE_CHECKING:
    from pipeline.runtime.progress import SilentSensor, StreamProgress

_NAMED = 5
_EVEN = 0.05
"""Rates that differ by no more than this part are called even."""


class Notices:
    """Compares each snapshot with the one before."""

    def __init__(self) -> None:
        """Nothing is away, nobody is silent."""
        self._away, self._away_s = "", 0.0
        self._silent: dict[str, float] = {}

    def of(self, progress: StreamProgress) -> list[str]:
        """Lines that this snapshot is worth; none as a rule."""
        lines = []
        if progress.away and not self._away:
            lines.append(waiting(progress))
        elif self._away and not progress.away:
            lines.append(f"{self._away} is back after {seconds(self._away_s)}")
        self._away, self._away_s = progress.away, progress.away_s
        if progress.keeps_up:  # else nobody knows who is silent
            lines += self._of_sensors(progress.silent)
        return lines

    def _of_sensors(self, silent: tuple[SilentSensor, ...]) -> list[str]:
        now = {each.sensor_id: each for each in silent}
        fallen = [each for name, each in now.items() if name not in self._silent]
        back = {name: silent_s for name, silent_s in self._silent.items() if name not in now}
        self._silent = {name: each.silent_s for name, each in now.items()}
        lines = [
            f"sensor {each.sensor_id} is silent: no frame for {seconds(each.silent_s)}, before that one every {seconds(each.usual_s)}"
            for each in fallen[:_NAMED]
        ]
        if len(fallen) > _NAMED:
            lines.append(f"and {len(fallen) - _NAMED} more sensors are silent")
        lines += [f"sensor {name} is back after {seconds(silent_s)}" for name, silent_s in list(back.items())[:_NAMED]]
        if len(back) > _NAMED:
            lines.append(f"and {len(back) - _NAMED} more sensors are back")
        return lines


def waiting(progress: StreamProgress) -> str:
    """Text: what is waited for; empty while all answer."""
    return f"waiting for {progress.away} since {seconds(progress.away_s)}" if progress.away else ""


def pace(progress: StreamProgress) -> str:
    """Text: whether the stream is behind, and how that goes on; empty while it keeps up or nobody knows."""
    offered, done = progress.offered_fps, progress.fps_out
    if progress.lag is None or offered is None or progress.keeps_up or not (progress.frames_out and progress.state == "streaming"):
        return ""
    rates = f"behind: offered {offered:.3g}/s, done {done:.3g}/s"
    if abs(done - offered) <= _EVEN * max(done, offered):
        return f"{rates}, stays"
    return f"{rates}, grows" if done < offered else f"{rates}, caught up in {_about(progress.lag / (done - offered))}"


def silent_words(silent: tuple[SilentSensor, ...]) -> str:
    """`silent: cam-3 for 40.0 s, cam-7 for 2 min 5 s`; empty for none."""
    if not silent:
        return ""
    more = f" and {len(silent) - _NAMED} more" if len(silent) > _NAMED else ""
    return "silent: " + ", ".join(f"{each.sensor_id} for {seconds(each.silent_s)}" for each in silent[:_NAMED]) + more


def _about(time_s: float) -> str:
    for unit, length_s in (("days", 86_400), ("h", 3600), ("min", 60)):
        if time_s >= 2 * length_s:
            return f"{time_s / length_s:.0f} {unit}"
    return f"{max(1, round(time_s))} s"
