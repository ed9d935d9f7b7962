"""From the words of `irstream reprocess` to an input and its networks."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from contracts.archive_range import ArchiveRequest
from contracts.codecs import encode_pixels
from contracts.errors import SettingsError
from contracts.frame import ContentType
from deploy.archives.inputs import opener, paths_of, request_of, with_stored_models
from deploy.cli.main import main
from deploy.settings.app_settings import AppSettings, load_settings
from deploy.settings.chosen_models import deciding, with_models
from pipeline.table.settings import SinkSettings


@pytest.fixture
def settings(tmp_path: Path) -> AppSettings:
    return load_settings().settings.model_copy(update={"sink": SinkSettings(table=str(tmp_path / "table")), "run_id": "again"})


def write_images(folder: Path, num: int) -> None:
    folder.mkdir()
    for number in range(num):
        (folder / f"{number}.png").write_bytes(encode_pixels(np.full((64, 96), number, np.uint8), ContentType.PNG))


def test_a_word_is_a_topic_where_no_file_is_called_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert request_of(("frames",), "0", None, {}) == ArchiveRequest(kind="topic", inputs=("frames",), begin="0")
    assert request_of(("frames.v2",), None, None, {}).kind == "topic"
    assert request_of(("clip.mp4",), None, None, {}).kind == "files"
    assert request_of(("run:live",), None, "2026-05-01", {}) == ArchiveRequest(kind="run", inputs=("live",), end="2026-05-01")
    write_images(tmp_path / "frames", 1)
    assert request_of(("frames",), None, None, {}).inputs == (str(tmp_path / "frames"),)
    assert request_of(("topic:frames",), None, None, {}).kind == "topic"
    named = request_of(("frames",), None, None, {"band": "lwir"})
    assert named.options == {"band": "lwir", "name": "frames"}


@pytest.mark.parametrize(
    ("inputs", "begin", "options", "text"),
    [
        (("topic:a", "topic:b"), None, {}, "expected one topic, got 2 inputs"),
        (("run:a", "night"), None, {}, "expected one run, got 2 inputs"),
        (("night.mp4",), "5", {}, "expected --from and --to with a topic, got files"),
        (("topic:a",), None, {"bit_depth": "14"}, "got --bit-depth"),
    ],
)
def test_words_that_do_not_go_together_are_refused(inputs: tuple[str, ...], begin: str | None, options: dict[str, str], text: str) -> None:
    with pytest.raises(SettingsError, match=text):
        request_of(inputs, begin, None, options)


def test_a_run_goes_on_with_what_it_began_with(settings: AppSettings, tmp_path: Path) -> None:
    said: list[str] = []
    write_images(tmp_path / "night", 3)
    (tmp_path / "night" / "notes.txt").write_text("x")
    began = opener(settings, (str(tmp_path / "night"),), None, None, {"sensor": "mast"}, said.append)()
    assert [(each.sensor_id, each.stop) for each in began.range.partitions] == [("mast", 3)]
    assert any("notes" in text or ".txt" in text for text in said)
    assert opener(settings, (), None, None, {}, said.append)().range == began.range
    with pytest.raises(SettingsError, match="No run other of an archive was begun"):
        opener(settings.model_copy(update={"run_id": "other"}), (), None, None, {}, said.append)
    with pytest.raises(SettingsError, match=r"the networks it began with, got segmenter\.model = acm, where it was kestrel_wide"):
        opener(with_models(settings, ["segmenter=acm"]), (), None, None, {}, said.append)()
    acm = with_models(settings.model_copy(update={"run_id": "acm"}), ["segmenter=acm", "segmenter.postprocess.threshold=0.4"])
    opener(acm, (str(tmp_path / "night"),), None, None, {}, said.append)()
    found = with_stored_models(settings.model_copy(update={"run_id": "acm"})).models
    assert (found.segmenter.model, found.segmenter.postprocess) == ("acm", {"threshold": 0.4})
    assert found.detector == settings.models.detector
    on_other_cores = with_models(settings, ["segmenter.threads=7"])
    assert opener(on_other_cores, (), None, None, {}, said.append)().range == began.range


def test_networks_of_a_run(settings: AppSettings, tmp_path: Path) -> None:
    file = tmp_path / "models.yaml"
    file.write_text("segmenter: {model: acm, postprocess: {threshold: 0.25}}\n")
    tuned = with_models(settings, ["segmenter.weights=own.safetensors", "segmenter.threads=3"])
    assert (tuned.models.segmenter.weights, tuned.models.segmenter.threads) == ("own.safetensors", 3)
    other = with_models(tuned, [str(file), "detector.postprocess.threshold=0.4"])
    assert (other.models.segmenter.model, other.models.segmenter.weights, other.models.segmenter.threads) == ("acm", None, 3)
    assert deciding(other)["segmenter"]["postprocess"] == {"threshold": 0.25}
    assert other.models.detector.postprocess == {"threshold": 0.4}
    for wrong in ("tracker=acm", "segmenter.threads=-1", "segmenter.colour=red", str(tmp_path / "none.yaml")):
        with pytest.raises(SettingsError, match="--models"):
            with_models(settings, [wrong])


def test_names_that_are_no_text_are_stored_and_found_again(tmp_path: Path) -> None:
    odd = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9"))
    write_images(odd, 1)
    request = request_of((str(odd),), None, None, {})
    assert ArchiveRequest.model_validate_json(request.model_dump_json()) == request
    assert (paths_of(request), request.options["name"]) == ([odd], "caf_")


def test_a_stream_keeps_its_run_id(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as ended:
        main(["reprocess", "in", "--run-id", "live"])
    assert ended.value.code == 2
    assert "other than that of the stream" in capsys.readouterr().err


@pytest.mark.parametrize("command", [("reprocess", "--run-id", "again"), ("predict", "--out", "found")])
def test_files_are_answered_by_what_is_in_production(
    command: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """An alias that cannot be read is refused, before anything is done, by a command that asks for it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("IRSTREAM_REGISTRY__FOLDER", str(tmp_path / "registry"))
    (tmp_path / "registry" / "segmenter").mkdir(parents=True)
    (tmp_path / "registry" / "segmenter" / "production.json").write_text("{")
    (tmp_path / "in").mkdir()
    with pytest.raises(SystemExit) as ended:
        main([command[0], "in", *command[1:]])
    assert ended.value.code == 2
    assert "production.json" in capsys.readouterr().err.replace("\n", "")
