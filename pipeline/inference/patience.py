"""Waiting for networks: how long silence is slowness, as far as they have shown; outlives generations."""

from __future__ import annotations

_TIMES_SLOWER, _LEAST_TIMES, _LONG_S = 10, 3, 1800.0
_LONGEST_S = 86_400.0


class Patience:
    """Learns from answers, and from waits that were too short.

    A first call may take longer than any time-out that was set: weights come from a slow disk, a kernel is compiled, the machine is busy.
    Whoever gave it up after the same time again and again would never see an answer.
    """

    def __init__(self, timeout_s: float) -> None:
        """Nothing is known yet.

        Args:
            timeout_s: silence that is no slowness where nothing else is known.
        """
        self._timeout_s = timeout_s
        self._slowest_s = 0.0
        self._after_silence_s: dict[str, float] = {}

    @property
    def longest_s(self) -> float:
        """Silence that is no slowness of any network."""
        return max(self.of(""), *self._after_silence_s.values(), 0.0)

    def of(self, network: str) -> float:
        """Silence of all networks that is no slowness any more, for who waits for this one, in seconds.

        Longer than the time-out, than ten of their slowest answers (three, where ten are more than half an hour) and, until it has
        answered, than twice what was waited for it in vain.
        """
        of_answers_s = min(_TIMES_SLOWER * self._slowest_s, max(_LONG_S, _LEAST_TIMES * self._slowest_s))
        return max(self._timeout_s, of_answers_s, self._after_silence_s.get(network, 0.0))

    def answered_after(self, network: str, seconds: float) -> None:
        """It has answered, or crashed, so long after it was asked."""
        self._slowest_s = max(self._slowest_s, seconds)
        self._after_silence_s.pop(network, None)

    def in_vain(self, network: str, seconds: float) -> None:
        """Nobody answered for so long; the next wait for it is twice as long."""
        self._after_silence_s[network] = max(self.of(network), min(2 * seconds, _LONGEST_S))
