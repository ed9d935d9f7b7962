"""Pages that say what the code says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from deploy.cli.main import COMMANDS
from deploy.settings.app_settings import OTHER_VARIABLES
from deploy.settings.page import settings_page, undocumented

ROOT = Path(__file__).resolve().parents[3]
PAGES = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("benchmarks/*.md")]
LONGEST_LINE = 200
CODE = {
    path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8")
    for path in (*ROOT.glob("*.py"), *ROOT.glob("*/**/*.py"))
    if not path.is_relative_to(ROOT / ".venv")
}


def test_settings_page_is_current() -> None:
    assert (ROOT / "docs" / "settings.md").read_text() == settings_page(), "run: python -m deploy.settings.page > docs/settings.md"


def test_every_key_has_a_meaning() -> None:
    assert undocumented() == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    links = re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", page.read_text()) + re.findall(r'<img[^>]* src="([^"]+)"', page.read_text())
    missing = [link for link in links if "://" not in link and not (page.parent / link).exists()]
    assert missing == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_lines_can_be_read(page: Path) -> None:
    """Rows of tables cannot be broken; every other line can."""
    lines = enumerate(page.read_text(encoding="utf-8").splitlines(), start=1)
    assert [number for number, line in lines if len(line) > LONGEST_LINE and not line.startswith("|")] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_files_and_tests_that_a_page_names_exist(page: Path) -> None:
    """`pipeline/table/merge.py` or `test_name`; a name cut short with dots stands for those that begin so.

    A file such as `models.py`, called as a root folder is, is somebody else's.
    """
    quoted = re.findall(r"`([^`\n]+)`", _without_history(page.read_text(encoding="utf-8")))
    quoted = [name for name in quoted if not (ROOT / name.removesuffix(".py")).is_dir()]
    tests = {name for text in CODE.values() for name in re.findall(r"def (test_\w+)", text)}
    lost = [name for name in quoted if re.fullmatch(r"[\w/]+\.py", name) and not any(f"/{file}".endswith(f"/{name}") for file in CODE)]
    lost += [name for name in quoted if re.fullmatch(r"test_\w+", name) and name not in tests]
    lost += [name for name in quoted if re.fullmatch(r"test_\w+\.\.\.", name) and not any(test.startswith(name[:-3]) for test in tests)]
    assert lost == []


def _without_history(page: str) -> str:
    """A page without its section of moved files, which names files that are gone."""
    return re.sub(r"^### Moved\n.*?(?=^##|\Z)", "", page, flags=re.DOTALL | re.MULTILINE)


def test_nothing_outside_the_repository_is_cited() -> None:
    """Numbered rules, papers and design texts that only some of us have say nothing to a reader."""
    pattern = re.compile(r"(?:DESIGN|LAYOUT|STYLE)\.md|(?i:\b(?:invariants?|habits?|traps?|papers?) [0-9])")
    texts = CODE | {page.name: page.read_text(encoding="utf-8") for page in PAGES}
    assert [name for name, text in texts.items() if pattern.search(text) and not name.endswith("test_pages.py")] == []


def test_every_variable_with_our_prefix_is_known() -> None:
    """A variable that the code reads but the settings do not know would be reported as a mistake of the user."""
    used: set[str] = set()
    for folder in ("actors", "contracts", "deploy", "models", "observability", "pipeline", "training", "evaluation"):
        for path in (ROOT / folder).rglob("*.py"):
            used |= set(re.findall(r"(?:environ\.get\(|environ\[|envvar=|getenv\()\s*\"(IRSTREAM_[A-Z_]+)\"", path.read_text()))
    assert used
    assert {name for name in used if "__" not in name} <= OTHER_VARIABLES


def test_every_decision_is_listed() -> None:
    folder = ROOT / "docs" / "adr"
    records = {path.name for path in folder.glob("[0-9]*.md")}
    listed = set(re.findall(r"\(([0-9]{4}-[^)]+\.md)\)", (folder / "README.md").read_text()))
    assert records == listed


def test_the_index_names_each_page_once() -> None:
    table = (ROOT / "docs" / "index.md").read_text().split("\n## ")[0]
    links = re.findall(r"\]\(([^)]+)\)", table)
    assert sorted(set(links)) == sorted(links)
    assert {page.name for page in ROOT.glob("docs/*.md")} - {"index.md"} <= set(links)


def test_the_changelog_names_every_command() -> None:
    changelog = (ROOT / "CHANGELOG.md").read_text()
    assert [name for name, _, _ in COMMANDS if f"`irstream {name}" not in changelog] == []
