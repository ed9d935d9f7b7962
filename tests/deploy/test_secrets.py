"""A secret in the settings is in nothing that is printed, whatever is wrong with them."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from deploy.cli.main import main

HEADER = "applications:\n  - name: irstream\n    import_path: deploy.app:build\n    args:\n"
CANARY = "canary-4711"
LOGIN = {"SECURITY_PROTOCOL": "SASL_SSL", "SASL_MECHANISM": "SCRAM-SHA-512", "SASL_USERNAME": "me", "SASL_PASSWORD": CANARY}


@pytest.fixture(autouse=True)
def _clean(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in list(os.environ):
        if name.startswith("IRSTREAM_"):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


def said(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    told = capsys.readouterr()
    return int(ended.value.code or 0), told.out, told.err


def login(monkeypatch: pytest.MonkeyPatch, **changes: str) -> None:
    for name, value in (LOGIN | changes).items():
        monkeypatch.setenv(f"IRSTREAM_KAFKA__{name}", value)


@pytest.mark.parametrize("command", [("config", "show"), ("config", "show", "--json"), ("config", "check"), ("config", "check", "--json")])
def test_right_settings_show_no_secret(
    command: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    login(monkeypatch)
    monkeypatch.setenv("IRSTREAM_SINK__STORAGE_OPTIONS", json.dumps({"connection_string": CANARY}))
    code, out, err = said(capsys, *command)
    assert code == 0, err
    assert out
    assert CANARY not in out + err


@pytest.mark.parametrize(
    "wrong",
    [
        {"IRSTREAM_KAFKA__SASL_PASSWORD_FILE": "also-a-file"},
        {"IRSTREAM_KAFKA__SECURITY_PROTOCOL": "PLAINTEXT"},
        {"IRSTREAM_KAFKA__SASL_PASSWD": CANARY},
        {"IRSTREAM_KAFKA_SASL_PASSWD": CANARY},
        {"IRSTREAM_SASL": CANARY},
        {"IRSTREAM_KAFKA": f'{{"ssl_key_password": ["{CANARY}"]}}'},
        {"IRSTREAM_KAFKA": f'"{CANARY}"'},
        {"IRSTREAM_KAFKA": f'{{"sasl_password": "{CANARY}'},
        {"IRSTREAM_SINK__STORAGE_OPTIONS": f'{{"connection_string": ["{CANARY}"]}}'},
        {"IRSTREAM_SINK__STORAGE_OPTIONS": f'["{CANARY}"]'},
        {"IRSTREAM_SINK__TABLE": f"s3://key:{CANARY}@bucket/table"},
    ],
    ids=lambda wrong: next(iter(wrong)),
)
@pytest.mark.parametrize("command", [("config", "check"), ("config", "check", "--json"), ("stream",)], ids=" ".join)
def test_wrong_settings_show_no_secret(
    wrong: dict[str, str], command: tuple[str, ...], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    login(monkeypatch)
    for name, value in wrong.items():
        monkeypatch.setenv(name, value)
    code, out, err = said(capsys, *command)
    assert code == 2
    assert out + err
    assert CANARY not in out + err


def test_a_secret_in_the_file_is_warned_of(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    args = {"kafka": {name.lower(): value for name, value in LOGIN.items()}, "sink": {"storage_options": {"connection_string": CANARY}}}
    (tmp_path / "ray_config.yaml").write_text(HEADER + f"      {json.dumps(args)}\n")
    code, _, err = said(capsys, "config", "check")
    assert code == 0
    assert "kafka.sasl_password" in err
    assert "IRSTREAM_KAFKA__SASL_PASSWORD" in err
    assert "sink.storage_options.connection_string" in err
    assert CANARY not in err
    _, out, _ = said(capsys, "config", "check", "--json")
    assert [warning["key"] for warning in json.loads(out)["warnings"]] == ["kafka.sasl_password", "sink.storage_options.connection_string"]


def test_a_secret_in_a_variable_is_fine_and_the_path_of_its_file_is_shown(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    login(monkeypatch)
    assert "warning" not in said(capsys, "config", "check")[2]
    monkeypatch.delenv("IRSTREAM_KAFKA__SASL_PASSWORD")
    monkeypatch.setenv("IRSTREAM_KAFKA__SASL_PASSWORD_FILE", "/run/secrets/kafka")
    code, out, _ = said(capsys, "config", "show", "--json")
    assert code == 0
    assert json.loads(out)["settings"]["kafka"]["sasl_password_file"] == "/run/secrets/kafka"
