"""`irstream config check|show`: is the configuration right, and where does each value come from."""

from __future__ import annotations

from typing import Any

import typer

from deploy.cli.options import ConfigOption, JsonOption, load, print_json

app = typer.Typer(help="Check and show the settings.", no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)


@app.command()
def check(config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """Name every mistake in the settings: place, key, value, expectation (exit code 2); warn of secrets in the file."""
    from dataclasses import asdict

    from contracts.errors import SettingsError
    from deploy.settings.app_settings import secrets_in_file
    from deploy.settings.mistakes import InvalidSettingsError, Mistake
    from deploy.settings.model_check import label_mistakes, model_mistakes

    try:
        loaded = load(config)
        places = {key: origin for key, origin in loaded.origins.items() if origin != "default"}
        wrong = model_mistakes(loaded.settings.models, lambda key: places.get(key, loaded.file))
        if wrong := [*wrong, *label_mistakes(loaded.settings, lambda key: places.get(key, loaded.file))]:
            raise InvalidSettingsError(wrong)
    except SettingsError as error:
        if not as_json:
            raise
        unreadable = Mistake(error.where, "", error.expected, error.got, error.action)
        mistakes = error.mistakes if isinstance(error, InvalidSettingsError) else (unreadable,)
        print_json({"ok": False, "mistakes": [asdict(mistake) for mistake in mistakes]})
        raise typer.Exit(error.exit_code) from error
    warnings = secrets_in_file(loaded)
    if as_json:
        print_json({"ok": True, "file": loaded.file, "mistakes": [], "warnings": [asdict(warning) for warning in warnings]})
    else:
        for warning in warnings:
            typer.echo(f"warning: {warning}", err=True)
        changed = sum(origin != "default" for origin in loaded.origins.values())
        typer.echo(f"{loaded.file}: all {len(loaded.origins)} settings are right ({changed} set, the rest are defaults)")


@app.command()
def show(config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """Every setting, its value and where it comes from; secrets stay hidden."""
    from deploy.settings.app_settings import flatten
    from deploy.settings.mistakes import without_secrets
    from deploy.terminal.settings_view import print_settings

    loaded = load(config)
    values = {key: without_secrets(key, value) for key, value in flatten(loaded.settings.model_dump(mode="json")).items()}
    if as_json:
        nested: dict[str, Any] = {}
        for key, value in values.items():
            section = nested
            for part in key[:-1]:
                section = section.setdefault(str(part), {})
            section[str(key[-1])] = value
        print_json({"file": loaded.file, "settings": nested, "origins": loaded.origins})
    else:
        print_settings(values, loaded.origins)
