"""A training as MLflow knows it, in a real database; what goes wrong there ends no training."""

from __future__ import annotations

import contextlib
import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from contracts.errors import SettingsError
from deploy.terminal.tracking import command_line, curve_of, curves_of, how_to_see
from models.versions import Versions
from models.weights import WEIGHTS_FOLDER
from training.loop.settings import Progress
from training.registry.registered import show_production
from training.report.trainings import list_trainings
from training.tracking import Tracker, masked, open_client, tracked, tracked_as, tracking_uri

pytestmark = pytest.mark.slow


def test_a_training_that_goes_on_is_one_run_with_its_curve_its_folds_and_its_files(tmp_path: Path) -> None:
    place, said = tmp_path / "train" / "mine", list[str]()
    uri = tracking_uri(None, str(place))
    place.mkdir(parents=True)
    (place / "mlflow.json").write_text(json.dumps({"uri": "http://elsewhere", "experiment": "1", "runs": {"": "old"}}))
    assert uri == f"sqlite:///{tmp_path / 'train' / 'mlflow.db'}"
    with (
        contextlib.suppress(KeyboardInterrupt),
        tracked(uri, str(place), "mine", {"plan": {"lr": 0.1, "a@b": "x" * 900}}, said.append) as it,
    ):
        assert it is not None
        curve_of(it)(Progress(steps=3, loss=0.5))
        raise KeyboardInterrupt
    with tracked(uri, str(place), "acm (mine)", {"plan": {"lr": 0.1}}, said.append) as second:
        assert second is not None
        tell = curve_of(second, lambda: 0.0)
        for progress in (
            Progress(steps=4, loss=0.4),
            Progress(steps=5, loss=0.35),  # too soon after the point before
            Progress(steps=6, loss=0.3, best_step=6, best_score=0.9),
            Progress(steps=6, loss=0.3, best_step=6, best_score=0.9),
        ):
            tell(progress)
        second.point(6, {"nan": float("nan"), "none": None})
        second.keep("said.txt", b"done")
        show = list[object]()
        folds = curves_of(second, show.append)
        folds({0: {"state": "waiting"}, 1: {"state": "training", "steps": 2, "steps_an_epoch": 2, "loss": 0.7}})
        folds({0: {"state": "waiting"}, 1: {"state": "done", "steps": 4, "steps_an_epoch": 2, "loss": 0.6, "figures": {"iou": 0.5}}})
    assert said == []
    assert len(show) == 2
    known = tracked_as(str(place))
    assert known is not None
    assert set(known["runs"]) == {"", "fold 1"}
    client = open_client(uri)
    whole, fold = (client.get_run(known["runs"][name]) for name in ("", "fold 1"))
    assert [(each.step, each.value) for each in client.get_metric_history(whole.info.run_id, "loss")] == [(3, 0.5), (4, 0.4), (6, 0.3)]
    assert whole.data.params["plan.lr"] == "0.1"
    assert len(whole.data.params["plan.a at b"]) == 500
    assert (whole.info.status, fold.info.status) == ("FINISHED", "FINISHED")
    assert whole.data.metrics.keys() == {"loss", "validation"}
    assert fold.data.tags["mlflow.parentRunId"] == whole.info.run_id
    assert fold.data.metrics == {"loss": 0.6, "iou": 0.5}
    assert list_trainings(tmp_path / "train") == []  # neither a log nor a card is there
    (place / "log.jsonl").write_text('{"steps": 6}\n')
    listed = list_trainings(tmp_path / "train")
    assert [(each["model"], each["steps"], each["done"], each["mlflow"]["uri"]) for each in listed] == [("mine", 6, False, uri)]
    assert [each.path for each in client.list_artifacts(whole.info.run_id)] == ["said.txt"]
    assert (tmp_path / "train" / "mlflow-files").is_dir()
    versions, registry = Versions(tmp_path / "registry", "segmenter"), tmp_path / "registry"
    digests = [versions.add(WEIGHTS_FOLDER / f"{name}.safetensors").digest for name in ("acm", "unet_light")]
    for digest, weights in ((digests[0], place / "weights.safetensors"), (digests[1], None), (digests[0], None)):
        assert show_production(versions, registry, digest, weights, None, said.append), said
        shown = client.get_model_version_by_alias("irstream-segmenter", "production")
        assert shown.tags["sha256"] == digest
    assert (int(shown.version), shown.run_id) == (1, whole.info.run_id)
    assert show_production(versions, registry, None, None, None, said.append)
    assert client.get_registered_model("irstream-segmenter").aliases == {}
    assert not show_production(versions, registry, digests[0], None, "off", said.append)


def test_a_server_that_fails_is_said_once_and_asked_again(tmp_path: Path) -> None:
    answered, asked = threading.Event(), threading.Event()

    class Broken(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.set()
            self.send_response(500)
            self.end_headers()
            answered.set()

        do_POST = do_GET

        def log_message(self, *_: object) -> None:
            return

    with HTTPServer(("127.0.0.1", 0), Broken) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        said = list[str]()
        tracker = Tracker(f"http://127.0.0.1:{server.server_port}", str(tmp_path), "mine", {}, said.append)
        tracker.point(1, {"loss": 1.0})
        assert asked.wait(60)
        assert answered.wait(60)
        tracker.close(patience_s=0)
        server.shutdown()
    assert len(said) == 2
    assert "the training goes on" in said[0]
    assert said[1].endswith("2 records not written")


@pytest.mark.parametrize(
    ("asked", "place", "uri"),
    [("off", "runs/x", None), (None, "s3://bucket/x", None), ("http://host:5000", "s3://bucket/x", "http://host:5000")],
)
def test_where_a_training_is_tracked(asked: str | None, place: str, uri: str | None) -> None:
    assert tracking_uri(asked, place) == uri


def test_without_mlflow_only_those_who_ask_for_it_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("training.tracking.find_spec", lambda name: None)
    assert tracking_uri(None, "runs/x") is None
    with pytest.raises(SettingsError, match=r"irstream\[mlflow\]"):
        tracking_uri("sqlite:///here.db", "runs/x")


def test_what_a_server_shows_has_an_address_and_a_database_a_command() -> None:
    assert how_to_see("http://host:5000/", "r", "7") == "http://host:5000/#/experiments/7/runs/r"
    assert how_to_see("sqlite:///here.db", "r", "7") == "mlflow ui --backend-store-uri sqlite:///here.db"


def test_of_a_training_that_is_refused_there_is_no_run(tmp_path: Path) -> None:
    with contextlib.suppress(SettingsError), tracked(f"sqlite:///{tmp_path / 'm.db'}", str(tmp_path), "mine", {}, lambda text: None):
        raise SettingsError(expected="x", got="y", where="z", action="w")
    assert list(tmp_path.iterdir()) == []


def test_no_password_of_a_server_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    assert masked("https://me:secret@host/x") == "https://host/x"
    assert masked("sqlite:///a@b.db") == "sqlite:///a@b.db"
    for given in (["--mlflow", "https://me:secret@host"], ["--mlflow=https://me:secret@host"]):
        monkeypatch.setattr("sys.argv", ["irstream", "train", "acm", *given, "--epochs", "1"])
        assert command_line() == "irstream train acm --epochs 1"
