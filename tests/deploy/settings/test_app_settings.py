"""Settings: layers, origins, and every mistake named at once."""

from __future__ import annotations

import pickle
import time
from dataclasses import replace
from pathlib import Path

import pytest

from contracts.errors import SettingsError
from deploy.app import stream_job
from deploy.settings.app_settings import AppSettings, Override, flatten, load_settings, secrets_in_file, settings_from_args, variable_of
from deploy.settings.file import BUILDER
from deploy.settings.mistakes import HIDDEN, InvalidSettingsError, known_keys, without_secrets
from pipeline.inference.rules import Filters
from tests.outcomes import detection, result
from tests.pipeline.inference.rule_networks import RuleNetworks

HEADER = "applications:\n  - name: irstream\n    import_path: deploy.app:build\n    args:\n"
ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(autouse=True)
def _no_variables_and_empty_folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import os

    for name in list(os.environ):
        if name.startswith("IRSTREAM_"):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


def write(tmp_path: Path, args: str, header: str = HEADER) -> Path:
    path = tmp_path / "ray_config.yaml"
    path.write_text(header + "".join(f"      {line}\n" for line in args.splitlines()))
    return path


def mistakes_of(config: Path | None, overrides: tuple[Override, ...] = ()) -> list[str]:
    with pytest.raises(InvalidSettingsError) as caught:
        load_settings(config, overrides)
    return [str(mistake) for mistake in caught.value.mistakes]


def test_packaged_default_is_the_root_file() -> None:
    assert (ROOT / "deploy" / "default_config.yaml").read_bytes() == (ROOT / "ray_config.yaml").read_bytes()


def test_shipped_file_says_what_the_defaults_are() -> None:
    """A user who copies single lines out of the shipped file must not change behaviour by leaving the others out."""
    assert load_settings(ROOT / "ray_config.yaml").settings == settings_from_args({})


def test_shipped_file_is_a_serve_config() -> None:
    import yaml
    from ray.serve.schema import ServeDeploySchema

    parsed = ServeDeploySchema(**yaml.safe_load((ROOT / "ray_config.yaml").read_text()))
    assert [application.import_path for application in parsed.applications] == ["deploy.app:build"]


def test_working_folder_counts_before_the_packaged_default(tmp_path: Path) -> None:
    assert load_settings().settings.run_id == "live"
    write(tmp_path, "run_id: here")
    assert load_settings().settings.run_id == "here"


def test_option_beats_variable_beats_file_beats_default(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = write(tmp_path, "run_id: a\nkafka:\n  topic: from-file\n  alerts_topic: from-file\n  dead_letter_topic: from-file")
    monkeypatch.setenv("IRSTREAM_KAFKA__TOPIC", "from-variable")
    monkeypatch.setenv("IRSTREAM_KAFKA__ALERTS_TOPIC", "from-variable")
    loaded = load_settings(config, [Override("kafka.topic", "from-option", "--topic"), Override("run_id", None, "--run-id")])
    kafka = loaded.settings.kafka
    assert (kafka.topic, kafka.alerts_topic, kafka.dead_letter_topic) == ("from-option", "from-variable", "from-file")
    assert loaded.settings.run_id == "a"
    origins = {key: loaded.origins[key] for key in ("kafka.topic", "kafka.alerts_topic", "kafka.dead_letter_topic", "sink.table")}
    assert origins == {
        "kafka.topic": "--topic",
        "kafka.alerts_topic": "IRSTREAM_KAFKA__ALERTS_TOPIC",
        "kafka.dead_letter_topic": f"{config}:9",
        "sink.table": "default",
    }


def test_a_section_given_in_part_keeps_its_other_defaults(tmp_path: Path) -> None:
    settings = load_settings(
        write(tmp_path, "models:\n  detector:\n    threads: 3\nbatching:\n  classifier:\n    max_wait_s: 0.5")
    ).settings
    assert settings.models.detector.threads == 3
    assert settings.models.detector.model == settings_from_args({}).models.detector.model
    assert settings.batching.classifier.max_wait_s == 0.5
    assert settings.batching.classifier.max_batch_size == settings_from_args({}).batching.classifier.max_batch_size


def test_every_key_can_be_set_by_its_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    defaults = flatten(settings_from_args({}).model_dump(mode="json"))
    plain = {key: value for key, value in defaults.items() if isinstance(value, str | int | float)}
    assert len(plain) > 20
    for key, value in plain.items():
        monkeypatch.setenv(variable_of(".".join(map(str, key))), str(value))
    loaded = load_settings()
    assert loaded.settings == settings_from_args({})
    assert {origin for key, origin in loaded.origins.items() if tuple(key.split(".")) in plain} == {
        variable_of(".".join(map(str, key))) for key in plain
    }


def test_all_mistakes_come_at_once_with_file_line_key_value_and_expectation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = write(
        tmp_path,
        "run_id: 'has space'\nkafak:\n  topic: x\nkafka:\n  topik: frames\n  connect_timeout_s: soon\nstream:\n  epoch_s: -1\nsink: 7",
    )
    monkeypatch.setenv("IRSTREAM_STREAM__MATCH_IOU", "2")
    monkeypatch.setenv("IRSTREAM_KAFKA_TOPIC", "frames")
    monkeypatch.setenv("IRSTREAM_DATA", "no setting, but known")
    told = mistakes_of(config)
    expected = {
        (f"{config}:5: run_id: ", "'has space'"),
        (f"{config}:6: kafak: expected a known key", "Did you mean kafka?"),
        (f"{config}:9: kafka.topik: expected a known key", "Did you mean kafka.topic?"),
        (f"{config}:10: kafka.connect_timeout_s: expected a valid number", "'soon'"),
        (f"{config}:12: stream.epoch_s: expected a value greater than 0", "-1"),
        (f"{config}:13: sink: expected", "got 7"),
        ("IRSTREAM_STREAM__MATCH_IOU: stream.match_iou: expected a value less than or equal to 1", "'2'"),
        ("IRSTREAM_KAFKA_TOPIC: kafka_topic: ", "Did you mean IRSTREAM_KAFKA__TOPIC?"),
    }
    for start, part in expected:
        assert [line for line in told if line.startswith(start) and part in line], f"nothing says {start} ... {part} in {told}"
    assert len(told) == len(expected)


def test_variables_of_kubernetes_services_are_no_settings_and_no_mistakes(monkeypatch: pytest.MonkeyPatch) -> None:
    for service in ("IRSTREAM", "IRSTREAM_HEAD_SVC", "IRSTREAM_KAFKA"):
        monkeypatch.setenv(f"{service}_SERVICE_HOST", "10.96.0.7")
        monkeypatch.setenv(f"{service}_SERVICE_PORT", "8265")
        monkeypatch.setenv(f"{service}_SERVICE_PORT_DASHBOARD_HTTP", "8265")
        monkeypatch.setenv(f"{service}_PORT", "tcp://10.96.0.7:8265")
        for part, value in {"": "tcp://10.96.0.7:8265", "_PROTO": "tcp", "_PORT": "8265", "_ADDR": "10.96.0.7"}.items():
            monkeypatch.setenv(f"{service}_PORT_8265_TCP{part}", value)
    assert not [origin for origin in load_settings().origins.values() if origin.startswith("IRSTREAM_")]


@pytest.mark.parametrize(
    ("name", "value", "begin"),
    [
        ("IRSTREAM_KAFKA_PORT", "9092", "IRSTREAM_KAFKA_PORT: "),
        ("IRSTREAM_KAFKA__SERVICE_HOST", "kafka", "IRSTREAM_KAFKA__SERVICE_HOST: kafka.service_host: "),
        ("IRSTREAM_KAFKA_BOOTSTRAP_SERVERS", "kafka:9092", "IRSTREAM_KAFKA_BOOTSTRAP_SERVERS: "),
    ],
)
def test_a_misspelt_variable_is_not_taken_for_one_of_a_service(monkeypatch: pytest.MonkeyPatch, name: str, value: str, begin: str) -> None:
    monkeypatch.setenv(name, value)
    (told,) = mistakes_of(None)
    assert told.startswith(begin)


def test_sensors_have_least_scores_of_their_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = write(tmp_path, "stream: {min_score: 0.1}\nsensors:\n  mast.1: {min_score: 0.9}\n  Mast-2: {alerts: {min_score: 0.95}}")
    monkeypatch.setenv("IRSTREAM_SENSORS", '{"Mast-2": {"min_score": 0.3}}')
    monkeypatch.setenv("IRSTREAM_ALERTS__MIN_SCORE", "0.5")
    loaded = load_settings(config)
    rules = stream_job(loaded.settings, RuleNetworks().handles()).rules.now
    found = {name: (round(rules.min_score(name), 6), names_of(rules.filters(name))) for name in ("mast.1", "Mast-2", "mast-2")}
    low = "min_score"
    assert found == {"mast.1": (0.9, [low, None, None]), "Mast-2": (0.3, [low, low, None]), "mast-2": (0.1, [low, None, None])}
    origins = {key: loaded.origins[f"sensors.{key}.min_score"] for key in ("mast.1", "Mast-2", "Mast-2.alerts")}
    assert origins == {"mast.1": f"{config}:7", "Mast-2": "IRSTREAM_SENSORS", "Mast-2.alerts": f"{config}:8"}


def names_of(filters: Filters) -> list[str | None]:
    frame = replace(result(0), detections=tuple(map(detection, (0.4, 0.7, 0.99))))
    return [each.suppressed_by for each in filters.marked(frame).detections]


@pytest.mark.parametrize(
    ("args", "told"),
    [
        pytest.param("sensors: {'': {min_score: 0.9}}", "5: sensors: expected the ids of sensors as text", id="no name"),
        pytest.param("sensors: {'  ': {min_score: 0.9}}", "5: sensors: expected the ids of sensors as text", id="blanks"),
        pytest.param("sensors: {007: {min_score: 0.9}}", "look like a number, got 7", id="a number to YAML"),
        pytest.param("sensors: {on: {min_score: 0.9}}", "look like a number, got True", id="a truth to YAML"),
        pytest.param("sensors: 7", "5: sensors: expected a valid dictionary, got 7", id="no mapping"),
        pytest.param(
            "sensors: {a: {min_score: 1.7}}", "5: sensors.a.min_score: expected a value less than or equal to 1, got 1.7", id="above"
        ),
        pytest.param("sensors: {a: {alerts: {min_score: -1}}}", "sensors.a.alerts.min_score: expected a value greater", id="below"),
        pytest.param("alerts: {min_score: .nan}", "5: alerts.min_score: expected", id="not a number"),
        pytest.param("stream: {min_score: 2}", "5: stream.min_score: expected a value less than or equal to 1, got 2", id="rows"),
        pytest.param(
            "sensors: {a: {min_scor: 1}}",
            "sensors.a.min_scor: expected a known key, got an unknown one. Did you mean sensors.a.min_score?",
            id="typing",
        ),
        pytest.param("sensors: {a: {alerts: {score: 1}}}", "Did you mean sensors.a.alerts.min_score?", id="another word"),
        pytest.param(
            "sensors: {a: {tracks: []}}",
            "sensors.a.tracks: expected a known key, got an unknown one. Known here: alerts, min_score.",
            id="unknown",
        ),
        pytest.param(
            "sensors: {a: {alerts: {min_size_px: 9}}}\nalerts: {max_size_px: 5}", "of at most alerts.max_size_px (5), got 9", id="sizes"
        ),
        pytest.param("alerts: {hidden_labels: bird}", "5: alerts.hidden_labels: expected a valid tuple, got 'bird'", id="no list"),
    ],
)
def test_mistakes_of_single_sensors_are_named(tmp_path: Path, args: str, told: str) -> None:
    (only,) = mistakes_of(write(tmp_path, args))
    assert told in only


@pytest.mark.parametrize(
    ("zone", "told"),
    [
        pytest.param("{rectangel_px: [0, 0, 9, 9]}", "display.rectangel_px: expected a known key", id="typing"),
        pytest.param("{rectangel_px: [0, 0, 9, 9]}", "Did you mean sensors.a.alerts.zones.display.rectangle_px?", id="meant"),
        pytest.param(
            "{effect: hide, rectangle_px: [0, 0, 9, 9]}", "display.effect: expected 'ignore' or 'only_here', got 'hide'", id="effect"
        ),
        pytest.param(
            "{}", "display: expected one of rectangle_px, rectangle_fraction, polygon_px, polygon_fraction, got none", id="no shape"
        ),
        pytest.param("{rectangle_px: [0, 0, 9, 9], polygon_px: []}", "got rectangle_px and polygon_px", id="two shapes"),
        pytest.param("{rectangle_px: [9, 0, 0, 9]}", "expected x_min, y_min, x_max, y_max with x_min < x_max", id="turned"),
        pytest.param("{rectangle_px: [0, 0, .inf, 9]}", "rectangle_px.2: expected a finite number", id="endless"),
        pytest.param("{rectangle_fraction: [0, 0, 640, 9]}", "expected fractions of the frame from 0 to 1, got 640", id="no fraction"),
        pytest.param("{polygon_px: [[0, 0], [9, 9]]}", "expected 3 corners or more, got 2", id="corners"),
        pytest.param("{polygon_px: [[0, 0], [9, 9], [4, 4]]}", "got corners on one line", id="flat"),
    ],
)
def test_mistakes_of_zones_are_named(tmp_path: Path, zone: str, told: str) -> None:
    (only,) = mistakes_of(write(tmp_path, f"sensors: {{a: {{alerts: {{zones: {{display: {zone}}}}}}}}}"))
    assert "5: sensors.a.alerts.zones.display" in only
    assert told in only


@pytest.mark.parametrize(("name", "told"), [("min_score", "got min_score"), ("''", "got an empty one"), ("7", "expected a valid string")])
def test_a_zone_has_a_name_of_its_own(tmp_path: Path, name: str, told: str) -> None:
    (only,) = mistakes_of(write(tmp_path, f"alerts: {{zones: {{{name}: {{rectangle_px: [0, 0, 9, 9]}}}}}}"))
    assert told in only


def test_names_of_sensors_and_zones_are_no_secrets(tmp_path: Path) -> None:
    zone = "{zones: {private-road: {rectangle_px: [0, 0, 9, 9]}}}"
    loaded = load_settings(write(tmp_path, f"alerts: {zone}\nsensors:\n  private-road: {{min_score: 0.9, alerts: {zone}}}"))
    assert secrets_in_file(loaded) == []
    assert without_secrets(("sensors", "private-road", "min_score"), 0.9) == 0.9
    assert without_secrets(("sensors",), {"private-road": {"password": "x"}}) == {"private-road": {"password": HIDDEN}}


def test_a_wrong_option_is_named_as_the_user_wrote_it() -> None:
    (told,) = mistakes_of(None, (Override("run_id", "a/b", "--run-id"),))
    assert told.startswith("--run-id: run_id: expected")


def test_a_key_of_another_section_is_pointed_to(tmp_path: Path) -> None:
    (told,) = mistakes_of(write(tmp_path, "bootstrap_servers: 127.0.0.1:9092"))
    assert "Did you mean kafka.bootstrap_servers?" in told


def test_a_key_written_twice_is_a_mistake(tmp_path: Path) -> None:
    config = write(tmp_path, "kafka:\n  topic: a\n  topic: b")
    (told,) = mistakes_of(config)
    assert told.startswith(f"{config}:7: kafka.topic: expected every key once")
    assert "line 6" in told


def test_a_section_variable_that_is_no_json_is_a_mistake(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IRSTREAM_KAFKA", "{broken")
    (told,) = mistakes_of(None)
    assert told.startswith("IRSTREAM_KAFKA: kafka: expected JSON")


def test_a_section_variable_as_json_is_the_origin_of_its_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IRSTREAM_KAFKA", '{"topic": "json"}')
    loaded = load_settings()
    assert loaded.settings.kafka.topic == "json"
    assert loaded.origins["kafka.topic"] == "IRSTREAM_KAFKA"


@pytest.mark.parametrize(
    ("text", "part"),
    [
        pytest.param("applications: [", "expected YAML", id="no yaml"),
        pytest.param("run_id: live\n", "no list `applications`", id="args at the top"),
        pytest.param("", "no list `applications`", id="empty"),
        pytest.param(
            "applications:\n  - import_path: other:app\n", "no application with `import_path: deploy.app:build`", id="another application"
        ),
        pytest.param("applications:\n  - import_path: deploy.app:build\n    args: [1]\n", "`args` that is no mapping", id="args a list"),
    ],
)
def test_a_file_that_is_not_ours_says_so_with_its_place(tmp_path: Path, text: str, part: str) -> None:
    path = tmp_path / "other.yaml"
    path.write_text(text)
    with pytest.raises(SettingsError) as caught:
        load_settings(path)
    assert str(path) in caught.value.where
    assert part in str(caught.value)


HEAD = f"applications:\n- import_path: {BUILDER}\n  args:\n"


@pytest.mark.parametrize(
    ("text", "part"),
    [
        (HEAD + "    sink: &a\n      table: *a\n", ":4: expected a Ray Serve config .* got an alias that contains itself"),
        (HEAD + "    sink: &a {b: &b [*a]}\n", "got an alias that contains itself"),
        ("&a [*a]", "got an alias that contains itself"),
        ("[" * 3000, "hundreds deep"),
        ("{a: " * 3000, "hundreds deep"),
        (
            HEAD + "    a0: &a0 [1]\n" + "".join(f"    a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 30)),
            "aliases that unfold to more than 100,000 values",
        ),
    ],
    ids=["recursive", "recursive, two steps", "recursive root", "deep list", "deep mapping", "billion laughs"],
)
def test_a_file_that_has_no_end_is_one_mistake(tmp_path: Path, text: str, part: str) -> None:
    (tmp_path / "endless.yaml").write_text(text)
    began_s = time.process_time()
    with pytest.raises(SettingsError, match=part):
        load_settings(tmp_path / "endless.yaml")
    assert time.process_time() - began_s < 10


@pytest.mark.parametrize("table", ["a%20b", "C:\\results", "a\x1bb"])
def test_a_table_path_that_means_another_folder_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, table: str) -> None:
    """Such a name would be another folder for deltalake, which decodes it once more."""
    monkeypatch.setenv("IRSTREAM_SINK__TABLE", table)
    with pytest.raises(SettingsError, match="without backslashes, control characters and percent codes"):
        load_settings(None)


@pytest.mark.parametrize("table", ["a b/é①", "a#b?c", "100%", "a,b;c=d", "[x]*", "./~", "s3://bucket/a%20b"])
def test_any_other_table_path_stays_as_it_is(monkeypatch: pytest.MonkeyPatch, table: str) -> None:
    monkeypatch.setenv("IRSTREAM_SINK__TABLE", table)
    assert load_settings(None).settings.sink.table == table


def test_a_tilde_is_the_home_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("IRSTREAM_SINK__TABLE", "~/results")
    assert load_settings(None).settings.sink.table == f"{tmp_path}/results"


def test_an_application_without_args_has_the_defaults(tmp_path: Path) -> None:
    path = tmp_path / "bare.yaml"
    path.write_text("applications:\n  - import_path: deploy.app:build\n")
    assert load_settings(path).settings == settings_from_args({})


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="no such file") as caught:
        load_settings(tmp_path / "gone.yaml")
    assert "gone.yaml" in caught.value.where


def test_mistakes_cross_process_borders(tmp_path: Path) -> None:
    with pytest.raises(InvalidSettingsError) as caught:
        load_settings(write(tmp_path, "a: 1\nb: 2"))
    again = pickle.loads(pickle.dumps(caught.value))
    assert again.mistakes == caught.value.mistakes
    assert str(again) == str(caught.value)
    assert again.exit_code == 2


def test_a_value_that_fits_no_branch_is_one_mistake_under_its_own_key(tmp_path: Path) -> None:
    config = write(tmp_path, "models:\n  detector:\n    device: gpu")
    (told,) = mistakes_of(config)
    assert told == rf"{config}:7: models.detector.device: expected 'auto', 'cpu' or 'cuda', or text that matches '^cuda:\d+$', got 'gpu'"


def test_what_a_check_of_several_keys_says_is_not_said_twice(tmp_path: Path) -> None:
    config = write(tmp_path, "models:\n  detector:\n    tiles:\n      side_px: 2000")
    (told,) = mistakes_of(config)
    assert told == f"{config}:7: models.detector.tiles: expected side_px <= whole_frame_max_px, got 2000 > 1024"


@pytest.mark.parametrize(
    ("value", "seen"),
    [
        ("s3://KEY:secret@bucket/x", "s3://(hidden)@bucket/x"),
        ("s3://KEY:sec/ret+@bucket/x", "s3://(hidden)@bucket/x"),
        ("https://token@host/x", "https://(hidden)@host/x"),
        ("http://host:8080/a@b", "http://host:8080/a@b"),
        ("s3://bucket/a@b", "s3://bucket/a@b"),
        ("runs/results", "runs/results"),
        (["s3://KEY:secret@bucket"], ["s3://(hidden)@bucket"]),
        ({"password": "x", "user": "y"}, {"password": "(hidden)", "user": "y"}),
    ],
)
def test_secrets_are_hidden_wherever_they_stand(value: object, seen: object) -> None:
    assert without_secrets(("sink", "table"), value) == seen


def test_a_secret_never_shows_in_a_mistake(tmp_path: Path) -> None:
    (told,) = mistakes_of(write(tmp_path, "sink:\n  storage_options:\n    AWS_SECRET_ACCESS_KEY: [hunter2]"))
    assert "hunter2" not in told


def test_names_other_programs_rely_on() -> None:
    public = {"run_id", "kafka.bootstrap_servers", "kafka.topic", "kafka.alerts_topic", "kafka.dead_letter_topic", "sink.table"}
    assert public <= {".".join(map(str, key)) for key in known_keys(AppSettings)}
