"""`irstream models promote|rollback`, and the versions of `list` and `show`: which weights running streams use."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_args

import typer

from deploy.cli.errors import named_as_options
from deploy.cli.options import ConfigOption, JsonOption, load, print_json
from deploy.cli.train_options import DeviceOption, MlflowOption

if TYPE_CHECKING:
    from deploy.settings.app_settings import AppSettings
    from models.versions import Versions
    from training.registry.promotion import Contender, PromotionDecision

_SETTINGS = {"data sets": "--data", "registry.folder": "--registry"}
RoleOption = Annotated[str, typer.Option("--for", metavar="ROLE", help="detector, segmenter or classifier.", show_default=False)]
RegistryOption = Annotated[Path | None, typer.Option("--registry", help="Folder of the versions (registry.folder).", show_default=False)]
WhyOption = Annotated[str | None, typer.Option("--why", help="Words for the history.", show_default=False)]


def promote(
    candidate: Annotated[
        str, typer.Argument(help="A run's folder, a safetensors file with its card, or the digest of a version.", show_default=False)
    ],
    role: RoleOption,
    data: Annotated[
        list[str], typer.Option("--data", help="Held-out data sets in Parquet (several times): splits test and unseen, else all.")
    ],
    registry: RegistryOption = None,
    why: WhyOption = None,
    config: ConfigOption = None,
    device: DeviceOption = "cpu",
    mlflow: MlflowOption = None,
    as_json: JsonOption = False,
) -> None:
    """Put weights into production where they are better on held-out images; running streams take them up by themselves.

    Candidate and production answer on the same images. The gate (settings `registry.gate`) asks for a gain of the mean score over scenes,
    for a paired t-test over scenes, and that no camera loses. Exit code 1: refused, with reasons; production stays as it is.
    """
    from contracts.errors import SettingsError
    from deploy.terminal.consoles import note_console
    from deploy.terminal.progress import show_on
    from models.devices import choose_device
    from training.registry.promotion import decide

    settings = load(config).settings
    versions = _versions(settings, role, registry)
    before = versions.production().digest
    with named_as_options(_SETTINGS):
        on, new = str(choose_device(device)), _candidate(versions, candidate)
        old = _in_use(settings, versions, before)
        if new.card.digest == old.card.digest:
            raise SettingsError(
                expected="other weights than those in production", got=new.card.digest[:12], where=candidate, action="Name a candidate."
            )
        with show_on(note_console(), "images") as show:
            decision = decide(
                new, old, [Path(folder) for folder in data], settings.registry.gate, device=on, report=partial(show, "comparing")
            )
        reasons = [*decision.reasons, *([why] if why else [])]
        if decision.accepted:
            versions.add(Path(new.named), new.card.digest)
            versions.promote(new.card.digest, before, reasons, decision.plain())
            _show(versions, settings, registry, Path(new.named), mlflow)
        else:
            versions.refuse(new.card.digest, before, reasons, decision.plain())
    if as_json:
        print_json({"role": role, "production": old.card.digest, "candidate": new.card.digest} | decision.plain())
    else:
        _print(role, old, new, decision)
    if not decision.accepted:
        raise typer.Exit(1)


def rollback(
    role: RoleOption,
    registry: RegistryOption = None,
    why: WhyOption = None,
    config: ConfigOption = None,
    mlflow: MlflowOption = None,
    as_json: JsonOption = False,
) -> None:
    """Return to the weights that were in production before the last promotion; running streams take them up by themselves."""
    settings = load(config).settings
    versions = _versions(settings, role, registry)
    with named_as_options(_SETTINGS):
        made = versions.roll_back([why] if why else [])
        _show(versions, settings, registry, None, mlflow)
    if as_json:
        print_json({"role": role, "production": made.digest, "before": made.events[-1].before})
    else:
        typer.echo(f"{role}: {_named(versions, made.digest)} in production again, in place of {_named(versions, made.events[-1].before)}")


def print_versions(config: Path | None, registry: Path | None, as_json: bool) -> None:
    """Versions of every role, the newest last, with what is in production."""
    from models.versions import Role

    settings, told = load(config).settings, []
    for role in get_args(Role):
        versions = _versions(settings, role, registry)
        now = versions.production()
        told.append(
            {"role": role, "production": now.digest, "versions": [_version(versions, each, now.digest) for each in versions.digests()]}
        )
    if as_json:
        print_json(told)
        return
    for each in told:
        named = each["production"][:12] if each["production"] else "the network of the settings"
        typer.echo(f"{each['role']}: {named} in production")
        for version in each["versions"]:
            mark = "*" if version["in_production"] else " "
            typer.echo(f"  {mark} {version['digest'][:12]}  {version['name']}  {version['data']}")


def print_role(role: str, config: Path | None, registry: Path | None, as_json: bool) -> None:
    """The versions of a role and the history of what was in production."""
    versions = _versions(load(config).settings, role, registry)
    now = versions.production()
    if as_json:
        listed = [_version(versions, each, now.digest) for each in versions.digests()]
        print_json(now.model_dump(mode="json") | {"versions": listed})
        return
    typer.echo(f"{role}: {_named(versions, now.digest)} in production")
    for event in now.events:
        typer.echo(f"  {event.at:%Y-%m-%d %H:%M:%S} UTC {event.action}: {_named(versions, event.digest)}")
        for reason in event.reasons:
            typer.echo(f"    {reason}")


def _version(versions: Versions, digest: str, now: str | None) -> dict[str, Any]:
    card = versions.card_of(digest)
    return {"digest": digest, "name": card.name, "data": card.data, "in_production": digest == now}


def _versions(settings: AppSettings, role: str, registry: Path | None) -> Versions:
    """The versions of a role.

    Raises:
        SettingsError: there is no such role.
    """
    from contracts.choices import chosen
    from models.versions import Role, Versions

    known: dict[str, Role] = {each: each for each in get_args(Role)}
    return Versions((registry or Path(settings.registry.folder)).absolute(), chosen(known, role, "--for"))


def _show(versions: Versions, settings: AppSettings, registry: Path | None, weights: Path | None, mlflow: str | None) -> None:
    """Show in MLflow what is in production."""
    from deploy.terminal.consoles import note_console
    from training.registry.registered import show_production

    def say(text: str) -> None:
        note_console().print(text, soft_wrap=True, markup=False, highlight=False)

    folder = registry or Path(settings.registry.folder)
    show_production(versions, folder, versions.production().digest, weights, mlflow, say)


def _candidate(versions: Versions, named: str) -> Contender:
    """The network that is to be promoted.

    Raises:
        SettingsError: no such weights, or weights for another role.
    """
    from contracts.errors import SettingsError
    from deploy.settings.candidate import weights_named
    from models.card import read_card
    from models.versions import ROLES
    from models.zoo import load_model
    from training.registry.promotion import Contender

    path = weights_named(named, versions)
    card = read_card(path.with_suffix(".json"))
    if card.task != ROLES[versions.role]:
        raise SettingsError(
            expected=f"weights for {ROLES[versions.role]}",
            got=f"{card.name} ({card.task})",
            where=named,
            action="Name their own role (--for).",
        )
    model, card = load_model(card.name, path)
    return Contender(model=model, card=card, named=str(path))


def _in_use(settings: AppSettings, versions: Versions, digest: str | None) -> Contender:
    """The network in production, as a stream runs it."""
    from models.zoo import load_model
    from training.registry.promotion import Contender

    named = getattr(settings.models, versions.role)
    name = named.model if digest is None else versions.card_of(digest).name
    weights = named.weights if digest is None else versions.weights_of(digest)
    model, card = load_model(name, weights)
    if name == named.model and named.postprocess:
        model.configure(card.postprocess | named.postprocess)
    return Contender(model=model, card=card, named=_named(versions, digest))


def _named(versions: Versions, digest: str | None) -> str:
    if digest is None:
        return "the network of the settings"
    known = versions.weights_of(digest).is_file()
    return f"{versions.card_of(digest).name} {digest[:12]}" if known else digest[:12]


def _print(role: str, old: Contender, new: Contender, decision: PromotionDecision) -> None:
    test = decision.test
    typer.echo(f"{'promoted' if decision.accepted else 'refused'}: {new.card.name} {new.card.digest[:12]} for {role}")
    typer.echo(f"  in production: {old.card.name} {old.card.digest[:12]}; {decision.num_images} images of {test.num} scenes")
    typer.echo(f"  score over scenes: {test.first:.4f} -> {test.second:.4f}, 95 % interval of the gain {test.low:+.4f} to {test.high:+.4f}")
    for name, (production, candidate) in decision.figures.items():
        typer.echo(f"  {name}: {production:.4g} -> {candidate:.4g}")
    for name, (images, each) in decision.sensors.items():
        typer.echo(f"  {name}: {each.difference:+.4f} ({images} images, {each.num} scenes)")
    for reason in decision.reasons:
        typer.echo(f"  {reason}")
