"""Writing single values into a settings file, with all else in it, comments included, as it was."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Mapping
from io import StringIO
from pathlib import Path
from typing import Any

import yaml
from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.scalarstring import DoubleQuotedScalarString
from ruamel.yaml.util import load_yaml_guess_indent

from contracts.errors import SettingsError
from deploy.settings.file import BUILDER

_WIDTH = 4096  # lines that are there are not broken anew


def edited(text: str, changes: Mapping[str, Any], where: str) -> str:
    """A Serve config with these values below the `args` of our application.

    Args:
        text: of the file, which `read_settings_file` takes.
        changes: nested mappings; what is there and not named stays.
        where: which file, for the message.

    Raises:
        SettingsError: the change would change something else, too, as where an alias shares a mapping.
    """
    _, indent, dash = load_yaml_guess_indent(text)
    editor = _editor()
    editor.indent(mapping=2, sequence=indent or 2, offset=dash or 0)
    tree = editor.load(text)
    application = next(each for each in tree["applications"] if each.get("import_path") == BUILDER)
    if application.get("args") is None:
        application["args"] = CommentedMap()
    _put(application["args"], changes)
    out = StringIO()
    editor.dump(tree, out)
    if yaml.safe_load(out.getvalue()) != _expected(text, changes):
        raise SettingsError(
            expected="a file in which these values can be set alone",
            got="one where they are shared with others (an alias?)",
            where=where,
            action="Write them yourself.",
        )
    return out.getvalue()


def as_yaml(values: Mapping[str, Any]) -> str:
    """Settings as lines for people: a key a line, lists in one line."""
    out = StringIO()
    _editor().dump(_styled(values), out)
    return out.getvalue()


def write_settings(path: Path, text: str, check: Callable[[Path], object]) -> None:
    """Exchange the file at once: whoever reads it meanwhile sees the old or the new one.

    Args:
        path: the file; a link stays one.
        text: the whole of it.
        check: reads the new file before it takes its place; its error leaves the old one there.

    Raises:
        SettingsError: it cannot be written.
    """
    target = path.resolve()
    try:
        with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{target.name}.") as folder:
            new = Path(folder) / target.name
            new.write_text(text, encoding="utf-8")
            if target.exists():
                shutil.copymode(target, new)
            check(new)
            new.replace(target)
    except OSError as error:
        raise SettingsError(
            expected="a settings file that may be written",
            got=error.strerror or str(error),
            where=str(path),
            action="Write the lines that are shown yourself, or name a file of yours in --config.",
        ) from error


def _editor() -> YAML:
    editor = YAML()
    editor.preserve_quotes = True
    editor.width = _WIDTH
    editor.allow_unicode = True
    editor.representer.add_representer(type(None), lambda representer, _: representer.represent_scalar("tag:yaml.org,2002:null", "null"))
    return editor


def _put(node: Any, changes: Mapping[str, Any]) -> None:
    for name, value in changes.items():
        if isinstance(value, Mapping) and isinstance(node.get(name), Mapping):
            _put(node[name], value)
        elif name not in node or node[name] != value:
            node[name if name in node else _plain_key(name)] = _styled(value)


def _plain_key(name: str) -> str:
    """A key that YAML 1.1, too, reads as this text: `"007"`, `"on"`."""
    try:
        same = yaml.safe_load(name) == name
    except yaml.YAMLError:
        same = False
    return name if same else DoubleQuotedScalarString(name)


def _styled(value: Any) -> Any:
    """Mappings a key a line, lists in one line."""
    if isinstance(value, Mapping):
        return CommentedMap((_plain_key(name), _styled(item)) for name, item in value.items())
    if isinstance(value, list):
        sequence = CommentedSeq(value)
        sequence.fa.set_flow_style()
        return sequence
    return value


def _expected(text: str, changes: Mapping[str, Any]) -> Any:
    """The same change of plain values."""
    tree = _unshared(yaml.safe_load(text))
    application = next(each for each in tree["applications"] if each.get("import_path") == BUILDER)
    application["args"] = application.get("args") or {}
    _put(application["args"], changes)
    return tree


def _unshared(value: Any) -> Any:
    """A copy in which no two places share a mapping, as those of aliases do."""
    if isinstance(value, dict):
        return {name: _unshared(item) for name, item in value.items()}
    return [_unshared(item) for item in value] if isinstance(value, list) else value
