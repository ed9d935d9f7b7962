"""Lines of an `index.jsonl`: what is optional, and mistakes told with file and line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from contracts.dataset_index import read_entries
from contracts.errors import SettingsError
from contracts.frame import Band, Platform

GOOD = {"id": "a", "file": "images/a.png"}


def test_only_the_file_must_be_there(tmp_path: Path) -> None:
    index = tmp_path / "index.jsonl"
    index.write_text(json.dumps(GOOD | {"somebody": "else's"}), encoding="utf-8")
    (entry,) = read_entries(index)
    assert (entry.id, entry.file, entry.mask, entry.boxes, entry.split) == ("a", "images/a.png", None, (), None)


def test_blank_lines_a_byte_order_mark_and_numbers_as_names_are_fine(tmp_path: Path) -> None:
    index = tmp_path / "index.jsonl"
    lines = [json.dumps(GOOD), "", "  ", json.dumps(GOOD | {"id": 7}) + "\r", json.dumps(GOOD | {"id": "b\u2028c"}, ensure_ascii=False), ""]
    index.write_text("\n".join(lines), encoding="utf-8-sig")
    assert [entry.id for entry in read_entries(index)] == ["a", "7", "b\u2028c"]


def test_platform_and_band_are_typed(tmp_path: Path) -> None:
    index = tmp_path / "index.jsonl"
    said = [("UAV", "LWIR"), ("mast", "mwir"), ("Satellite", "LWIR?"), (None, None), (["air"], 8)]
    index.write_text("\n".join(json.dumps(GOOD | {"platform": platform, "band": band}) for platform, band in said))
    assert [(entry.platform, entry.band) for entry in read_entries(index)] == [
        (Platform.AIR, Band.LWIR),
        (Platform.LAND, Band.MWIR),
        (Platform.SPACE, Band.UNKNOWN),
        (Platform.UNKNOWN, Band.UNKNOWN),
        (Platform.UNKNOWN, Band.UNKNOWN),
    ]


@pytest.mark.parametrize(
    ("line", "text"),
    [
        pytest.param("{broken", r"one JSON object, got \{broken", id="not JSON"),
        pytest.param('["a"]', r'one JSON object, got \["a"\]', id="a list"),
        pytest.param('{"boxes": []}', "a field 'file', got none", id="neither id nor file"),
        pytest.param('{"id": "a"}', "a field 'file', got none", id="no file"),
        pytest.param(json.dumps(GOOD | {"boxes": [[1, 2, 3]]}), r"boxes\.0: four finite numbers.*got \[1, 2, 3\]", id="three numbers"),
        pytest.param(json.dumps(GOOD | {"boxes": [[1, 2, 3, 0]]}), r"boxes\.0: four finite numbers.*above 0", id="no height"),
        pytest.param(json.dumps(GOOD | {"boxes": [[1, 2, float("nan"), 4]]}), r"boxes\.0: four finite numbers", id="not a number"),
        pytest.param(json.dumps(GOOD | {"boxes": [1, 2, 3, 4]}), r"boxes\.0: four finite numbers", id="one flat box"),
        pytest.param(json.dumps(GOOD | {"boxes": [[1, 2, 3, 4]], "labels": []}), "as many labels as boxes, 1", id="no label"),
        pytest.param(json.dumps(GOOD | {"classes": [1]}), "as many classes as boxes, 0", id="a class without a box"),
        pytest.param(json.dumps(GOOD | {"split": "tets"}), "'trainval', 'val', 'test' or 'unseen', got \"tets\"", id="split"),
        pytest.param(json.dumps(GOOD | {"bit_depth": 0}), "bit_depth: 8 to 16, or 32 for float32, got 0", id="bits"),
        pytest.param(json.dumps(GOOD | {"bit_depth": 24}), "bit_depth: 8 to 16, or 32 for float32, got 24", id="bits of three colours"),
        *(
            pytest.param(json.dumps({"file": file}), "file: a file below the folder of the index", id=f"elsewhere: {file!r}")
            for file in ("../a.png", "/etc/a.png", "images/../../a.png", "a\0.png")
        ),
        pytest.param('{"file": "a\\ud800.png"}', "file: a valid string, .*unicode", id="half a character"),
        pytest.param("[" * 100_000, "one JSON object", id="deep"),
        pytest.param(json.dumps(GOOD | {"mask": 5.5, "file": ["a"]}), 'file: a valid string, got \\["a"\\]', id="a list of files"),
    ],
)
def test_a_mistake_is_told_with_its_line(line: str, text: str, tmp_path: Path) -> None:
    index = tmp_path / "index.jsonl"
    index.write_text(f"{json.dumps(GOOD)}\n\n{line}\n")
    with pytest.raises(SettingsError, match=rf"index\.jsonl:3: expected .*{text}"):
        read_entries(index)


def test_another_encoding_is_told(tmp_path: Path) -> None:
    index = tmp_path / "index.jsonl"
    index.write_text(json.dumps(GOOD), encoding="utf-16")
    with pytest.raises(SettingsError, match=r"index\.jsonl: expected text in UTF-8"):
        read_entries(index)
