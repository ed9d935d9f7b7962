"""Folders of processes that learn: gone with them, or at the next start where they were killed."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from tests.processes import started
from training.distributed.own_folder import own_folder

HOLDS = """
import sys, time
from training.distributed.own_folder import own_folder
with own_folder("work-") as folder:
    (folder / "checkpoint.pt").write_bytes(b"large")
    print(folder, flush=True)
    time.sleep(3600)
"""


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def test_what_a_killed_process_left_goes_and_what_others_use_stays(temporary: Path) -> None:
    env = os.environ | {"TMPDIR": str(temporary)}
    with started([sys.executable, "-c", HOLDS], env) as killed, started([sys.executable, "-c", HOLDS], env) as living:
        folders = []
        for process in (killed, living):
            assert process.stdout is not None
            folders.append(Path(process.stdout.readline().strip()))
        killed.kill()
        killed.wait()
        assert all((folder / "checkpoint.pt").exists() for folder in folders)
        (temporary / "work-of-somebody-else").mkdir()
        with own_folder("work-") as mine, own_folder("work-") as second:
            assert mine.is_dir()
            assert second.is_dir()
            assert [folder.exists() for folder in folders] == [False, True]
        assert living.poll() is None
    assert {path.name for path in temporary.iterdir()} == {"work-of-somebody-else", folders[1].parent.name}


def test_its_folder_goes_with_it(temporary: Path) -> None:
    with own_folder("work-") as folder:
        subprocess.run(["touch", str(folder / "file")], check=True)
    assert not list(temporary.iterdir())
