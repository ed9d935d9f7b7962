"""Words for platforms and bands."""

from __future__ import annotations

import pytest

from contracts.errors import SettingsError
from contracts.frame import Band, Platform
from contracts.words import BAND_WORDS, PLATFORM_WORDS, band_named, platform_named, required_meaning


@pytest.mark.parametrize(
    ("platform", "words"),
    [
        (Platform.AIR, "air uav drone aircraft airborne plane UAV Drone  AIR"),
        (Platform.LAND, "land ship vehicle ground mast tower Land SHIP"),
        (Platform.SPACE, "space satellite orbit Orbit"),
        (Platform.UNKNOWN, "unknown submarine uav1 lwir"),
    ],
)
def test_words_for_platforms(platform: Platform, words: str) -> None:
    assert {word: platform_named(word) for word in words.split()} == dict.fromkeys(words.split(), platform)


@pytest.mark.parametrize("value", [None, "", 7, ["air"], {"air": 1}, True])
def test_no_word_is_unknown(value: object) -> None:
    assert platform_named(value) is Platform.UNKNOWN
    assert band_named(value) is Band.UNKNOWN


def test_words_for_bands() -> None:
    for band in Band:
        assert band_named(band.value.upper()) is band_named(f" {band.value} ") is band
    assert band_named("LWIR?") is Band.UNKNOWN
    assert [band_named(word) for word in ("3-5um", "3 - 5 um", "3-5_\u00b5m", "8-14 \u03bcm", "814um")] == [Band.MWIR] * 3 + [Band.LWIR] * 2


def test_a_word_that_a_person_chose_has_a_meaning_or_is_refused_with_those_that_have() -> None:
    assert required_meaning(BAND_WORDS, "Long-wave", "band") is Band.LWIR
    assert required_meaning(PLATFORM_WORDS, "unknown", "platform") is Platform.UNKNOWN
    with pytest.raises(SettingsError, match=r"expected one of .*mwir, lwir.*got 'lwri'.*Did you mean 'lwir'"):
        required_meaning(BAND_WORDS, "lwri", "band")
