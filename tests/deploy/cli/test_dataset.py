"""`irstream dataset`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from contracts.dataset_index import INDEX_NAME, read_entries
from deploy.cli.main import main


@pytest.mark.slow
def test_the_synthetic_set_is_written_with_its_index(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("synthetic.dataset.CAMERAS_OF_SPLIT", {"val": 1})
    with pytest.raises(SystemExit) as ended:
        main(["dataset", "synthetic", str(tmp_path / "made"), "--json"])
    assert ended.value.code == 0
    answer = json.loads(capsys.readouterr().out)
    entries = read_entries(tmp_path / "made" / INDEX_NAME)
    assert answer == {"folder": str(tmp_path / "made"), "frames": len(entries)}
    assert len(entries) == 50
    assert all((tmp_path / "made" / name).is_file() for entry in entries for name in (entry.file, entry.mask or ""))
