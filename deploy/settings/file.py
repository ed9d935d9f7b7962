"""Reading `ray_config.yaml`: the settings in it, and the line every key stands on."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import yaml

from contracts.errors import SettingsError

Key = tuple[str | int, ...]
DEFAULT_NAME = "ray_config.yaml"
BUILDER = "deploy.app:build"
_MOST_NODES = 100_000


@dataclass(frozen=True, slots=True)
class Duplicate:
    """A key written twice in one mapping (YAML would silently keep the last)."""

    key: Key
    line: int
    first_line: int


@dataclass(frozen=True, slots=True)
class SettingsFile:
    """The settings of one file.

    Attributes:
        name: the path as the user gave it, for messages.
        args: the `args` of our application, not validated yet.
        lines: line (from 1) of every key below `args`; the empty key is `args` itself.
        duplicates: keys written twice.
    """

    name: str
    args: dict[str, Any]
    lines: dict[Key, int]
    duplicates: tuple[Duplicate, ...]

    def place(self, key: Key) -> str | None:
        """`file:line` of a key, or None when the file does not hold it."""
        line = self.lines.get(key)
        return None if line is None else f"{self.name}:{line}"


def find_settings_file(config: Path | None) -> Path:
    """The file that counts: the one asked for, else `ray_config.yaml` in the working folder, else the packaged default.

    Raises:
        SettingsError: the file asked for does not exist.
    """
    if config is not None:
        if not config.is_file():
            raise SettingsError(
                expected="an existing settings file",
                got="a folder" if config.is_dir() else "no such file",
                where=f"--config {config}",
                action=f"Check the path, or leave --config out to use {DEFAULT_NAME} in the working folder or the packaged default.",
            )
        return config
    local = Path(DEFAULT_NAME)
    return local if local.is_file() else Path(str(files("deploy") / "default_config.yaml"))


def read_settings_file(path: Path) -> SettingsFile:
    """Read the `args` of the application `deploy.app:build` in a Ray Serve config.

    Raises:
        SettingsError: unreadable, not YAML, or not a Serve config with our application in it.
    """
    name = str(path)
    try:
        root = yaml.compose(path.read_text(encoding="utf-8"), Loader=yaml.SafeLoader)
        _require_a_tree(root, name)
    except RecursionError as error:
        raise _not_ours(name, "lists or mappings in each other, hundreds deep") from error
    except yaml.MarkedYAMLError as error:
        line = f":{error.problem_mark.line + 1}" if error.problem_mark else ""
        raise _not_ours(f"{name}{line}", f"{error.problem}", expected="YAML") from error
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise _not_ours(name, str(error), expected="a readable UTF-8 YAML file") from error
    args = _find_args(root, name)
    lines: dict[Key, int] = {(): args.start_mark.line + 1}
    duplicates: list[Duplicate] = []
    _collect(args, (), lines, duplicates)
    return SettingsFile(name, _construct(args, name), lines, tuple(duplicates))


def _require_a_tree(root: yaml.Node | None, name: str) -> None:
    """Refuse aliases that lead back into themselves, and those that unfold to more than a person writes."""
    steps = 0
    above: list[yaml.Node] = []
    waiting: list[tuple[yaml.Node, int]] = [] if root is None else [(root, 0)]
    while waiting:
        node, depth = waiting.pop()
        del above[depth:]
        line = f"{name}:{node.start_mark.line + 1}"
        if any(node is each for each in above):
            raise _not_ours(line, "an alias that contains itself")
        steps += 1
        if steps > _MOST_NODES:
            raise _not_ours(line, f"aliases that unfold to more than {_MOST_NODES:,} values")
        above.append(node)
        if isinstance(node, yaml.MappingNode):
            waiting += [(each, depth + 1) for pair in node.value for each in pair]
        elif isinstance(node, yaml.SequenceNode):
            waiting += [(each, depth + 1) for each in node.value]


def _find_args(root: yaml.Node | None, name: str) -> yaml.MappingNode:
    """The node `applications[i].args` of our application."""
    applications = _child(root, "applications")
    if not isinstance(applications, yaml.SequenceNode):
        raise _not_ours(name, "no list `applications`")
    for application in applications.value:
        import_path = _child(application, "import_path")
        if isinstance(import_path, yaml.ScalarNode) and import_path.value == BUILDER:
            args = _child(application, "args")
            if args is None or (isinstance(args, yaml.ScalarNode) and args.tag.endswith(":null")):
                mark = application.start_mark
                return yaml.MappingNode("tag:yaml.org,2002:map", [], mark, mark)
            if isinstance(args, yaml.MappingNode):
                return args
            raise _not_ours(f"{name}:{args.start_mark.line + 1}", "`args` that is no mapping")
    raise _not_ours(f"{name}:{applications.start_mark.line + 1}", f"no application with `import_path: {BUILDER}`")


def _child(node: yaml.Node | None, key: str) -> yaml.Node | None:
    if not isinstance(node, yaml.MappingNode):
        return None
    found: yaml.Node | None = None
    for key_node, value_node in node.value:
        if key_node.value == key:
            found = value_node
    return found


def _collect(node: yaml.Node, key: Key, lines: dict[Key, int], duplicates: list[Duplicate]) -> None:
    """Walk a node and note the line of every key in it."""
    if isinstance(node, yaml.MappingNode):
        for key_node, value_node in node.value:
            child = (*key, str(key_node.value))
            line = key_node.start_mark.line + 1
            if child in lines:
                duplicates.append(Duplicate(child, line, lines[child]))
            lines[child] = line
            _collect(value_node, child, lines, duplicates)
    elif isinstance(node, yaml.SequenceNode):
        for index, item in enumerate(node.value):
            lines[(*key, index)] = item.start_mark.line + 1
            _collect(item, (*key, index), lines, duplicates)


def _construct(node: yaml.MappingNode, name: str) -> dict[str, Any]:
    loader = yaml.SafeLoader("")
    try:
        constructed = {str(key): value for key, value in loader.construct_mapping(node, deep=True).items()}
    except yaml.MarkedYAMLError as error:
        line = f":{error.problem_mark.line + 1}" if error.problem_mark else ""
        raise _not_ours(f"{name}{line}", f"{error.problem}", expected="plain YAML values") from error
    finally:
        loader.dispose()
    return constructed


def _not_ours(where: str, got: str, expected: str = f"a Ray Serve config with an application `import_path: {BUILDER}`") -> SettingsError:
    return SettingsError(
        expected=expected,
        got=got,
        where=where,
        action="See ray_config.yaml of the repository for a complete example.",
    )
