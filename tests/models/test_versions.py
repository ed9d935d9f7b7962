"""Versions of weights: promoted and rolled back as a whole, with their history, by one at a time."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from contracts.errors import SettingsError
from models.card import read_card, write_card
from models.versions import Production, Versions
from models.weights import WEIGHTS_FOLDER


@pytest.fixture
def versions(tmp_path: Path) -> Versions:
    return Versions(tmp_path / "registry", "segmenter")


def test_a_rollback_returns_step_by_step_to_the_network_of_the_settings(versions: Versions) -> None:
    digests = [versions.add(WEIGHTS_FOLDER / f"{name}.safetensors").digest for name in ("acm", "unet_light")]
    assert versions.digests() == digests
    assert versions.add(WEIGHTS_FOLDER / "acm.safetensors").digest == digests[0]
    versions.promote(digests[0], None, ["better"], {"p": 0.01})
    versions.refuse(digests[1], digests[0], ["worse"], {})
    versions.promote(digests[1], digests[0], [], {})
    assert versions.production().digest == digests[1]
    assert versions.roll_back(["odd alerts"]).digest == digests[0]
    assert versions.roll_back().digest is None
    with pytest.raises(SettingsError, match="expected a segmenter that was promoted"):
        versions.roll_back()
    events = versions.production().events
    assert [event.action for event in events] == ["promoted", "refused", "promoted", "rolled back", "rolled back"]
    assert (events[0].reasons, events[0].decision, events[3].reasons) == (("better",), {"p": 0.01}, ("odd alerts",))
    assert read_card(versions.weights_of(versions.named(digests[1][:9])).with_suffix(".json")).name == "unet_light"


def test_who_compared_with_another_network_changes_nothing(versions: Versions) -> None:
    digests = [versions.add(WEIGHTS_FOLDER / f"{name}.safetensors").digest for name in ("acm", "unet_light")]
    versions.promote(digests[0], None, [], {})
    with pytest.raises(SettingsError, match=f"expected the network of the settings in production.*got {digests[0][:12]}"):
        versions.promote(digests[1], None, [], {})
    assert versions.production().digest == digests[0]


def test_a_change_that_dies_leaves_the_alias_as_it_was(versions: Versions, monkeypatch: pytest.MonkeyPatch) -> None:
    digest = versions.add(WEIGHTS_FOLDER / "acm.safetensors").digest

    def dies(source: Path, target: Path) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(Path, "replace", dies)
        with pytest.raises(KeyboardInterrupt):
            versions.promote(digest, None, [], {})
    assert versions.production() == Production(role="segmenter")
    assert versions.promote(digest, None, [], {}).digest == digest


def test_weights_of_another_task_or_card_are_no_version(versions: Versions, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"weights for segmentation, got fcos_light"):
        versions.add(WEIGHTS_FOLDER / "fcos_light.safetensors")
    shutil.copy(WEIGHTS_FOLDER / "acm.safetensors", tmp_path / "w.safetensors")
    write_card(read_card(WEIGHTS_FOLDER / "acm.json").model_copy(update={"digest": "0" * 64}), tmp_path / "w.json")
    with pytest.raises(SettingsError, match="expected digest 0000"):
        versions.add(tmp_path / "w.safetensors")
    assert versions.digests() == []


def test_only_what_was_compared_is_promoted(versions: Versions, tmp_path: Path) -> None:
    """A training may write other weights where those lay that were looked at."""
    looked_at = read_card(WEIGHTS_FOLDER / "acm.json").digest
    for suffix in ("safetensors", "json"):
        shutil.copy(WEIGHTS_FOLDER / f"unet_light.{suffix}", tmp_path / f"w.{suffix}")
    with pytest.raises(SettingsError, match=f"the weights {looked_at[:12]} that were looked at"):
        versions.add(tmp_path / "w.safetensors", looked_at)
    with pytest.raises(SettingsError, match="to be promoted, got no such files"):
        versions.promote(looked_at, None, [], {})
    assert (versions.digests(), versions.production().events) == ([], ())
