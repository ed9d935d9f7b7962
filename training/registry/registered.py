"""Production as it is shown in MLflow's model registry: a version of `irstream-ROLE` for each promotion, and the alias `production`.

Weights live in our own registry (`models.versions`), from which streams read; MLflow shows which version came from which run.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from models.versions import Versions
from training.tracking import OFF, RUNS_FILE, masked, open_client, tracked_as

_ALIAS, _DIGEST = "production", "sha256"


def show_production(
    versions: Versions, registry: Path, digest: str | None, weights: Path | None, asked: str | None, say: Callable[[str], None]
) -> bool:
    """Move the alias to a version, which is registered first where it is not.

    Args:
        versions: of the role.
        registry: their folder; it keeps where production is shown.
        digest: of the weights in production; None: the network of the settings, so that the alias goes.
        weights: file of a training that they are from; None: not known.
        asked: URI of a server or database, or `off`; None: where the training was tracked, else where production was shown last.
        say: gets a sentence where that fails: production is what our registry says, whatever MLflow shows.

    Returns:
        True where MLflow shows it.
    """
    run, name_of_run = _run_of(weights)
    known, shown = run and tracked_as(str(run)), registry / RUNS_FILE
    uri = asked or (known["uri"] if known else json.loads(shown.read_bytes())["uri"] if shown.is_file() else None)
    if uri in (None, OFF):
        return False
    run_id = known["runs"].get(name_of_run) if known and known["uri"] == masked(uri) else None
    try:
        client = open_client(uri)
        from mlflow.exceptions import MlflowException

        name = f"irstream-{versions.role}"
        try:
            client.create_registered_model(name)
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
        if digest is None:
            client.delete_registered_model_alias(name, _ALIAS)
            return True
        there = client.search_model_versions(f"name = '{name}' and tags.{_DIGEST} = '{digest}'")
        version = (
            there[0]
            if there
            else client.create_model_version(
                name,
                f"runs:/{run_id}" if run_id else versions.weights_of(digest).parent.resolve().as_uri(),
                run_id,
                tags={_DIGEST: digest},
                description=versions.card_of(digest).name,
            )
        )
        client.set_registered_model_alias(name, _ALIAS, version.version)
        shown.write_text(json.dumps({"uri": masked(uri)}), encoding="utf-8")
    except Exception as error:  # noqa: BLE001 - a page that does not show it is no reason to end a command that has done its work
        say(f"MLflow ({masked(uri)}) does not show it: {(str(error).splitlines() or [type(error).__name__])[0][:200]}")
        return False
    return True


def _run_of(weights: Path | None) -> tuple[Path | None, str]:
    """Folder of the training that weights lie in, and the name of their run there: that of a fold lies below the whole."""
    if weights is None:
        return None, ""
    if (weights.parent / RUNS_FILE).is_file():
        return weights.parent, ""
    return weights.parent.parent, weights.parent.name.replace("-", " ")
