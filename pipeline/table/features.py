"""Table features of Delta: which ones a table may have that we write, and which ones one that we only read.

Other programs add features to a table (Spark's `DELETE` adds deletion vectors). A program that does not know one must leave the table
alone: a merge that overlooks deletion vectors brings deleted rows back. Both lists are lists of what is allowed: a feature of tomorrow
is refused, too. Source: the Delta transaction log protocol, "Table Features".
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from deltalake import DeltaTable

from contracts.errors import SettingsError

# We add rows and exchange files for others with the same rows; none of these asks more of such a writer.
WRITABLE = frozenset({"appendOnly", "changeDataFeed", "invariants", "timestampNtz", "variantType"})
# deltalake lists variantType beside timestampNtz whenever it changes a property, whether a column has that type or not.
READABLE = frozenset({"timestampNtz", "variantType"})
_NEWEST_READER = 3
_WRITERS = (*range(6), 7)  # 6 brings identity columns, which deltalake does not write
_LISTED_READER = 3  # from here on the protocol lists features by name
_REFUSED_ON_OPENING = re.compile(r"Feature '([^']+)' is not supported|Unsupported table features required: \[([^\]]+)\]")
_CATALOG_MANAGED = "catalog-managed"
# What column metadata and table properties ask of writers; older protocols do not say whether a table uses it.
_COLUMN_RULES = {
    "delta.invariants": "invariants",
    "delta.generationExpression": "generatedColumns",
    "delta.identity.start": "identityColumns",
}


def require_writable_features(table: DeltaTable, where: str) -> None:
    """Check that we may add rows to this version of the table and exchange its files.

    Args:
        table: brought up to date.
        where: which table, for the message.

    Raises:
        SettingsError: it has features that we do not know, or rules that we do not check; all are named.
    """
    if unknown := sorted(set(_unknown_to_writers(table)) | set(_unknown_to_readers(table))):
        raise refusal(unknown, where, "a results table without other features than " + ", ".join(sorted(WRITABLE)))


def require_readable_features(table: DeltaTable, where: str) -> None:
    """Check that the rows of this version can be read as they are meant.

    Raises:
        SettingsError: it has features without which rows are read wrongly, such as deletion vectors; all are named.
    """
    if unknown := sorted(set(_unknown_to_readers(table))):
        raise refusal(unknown, where, "a results table that can be read without knowing such features")


def feature_of(error: BaseException) -> str | None:
    """The feature for whose sake deltalake did not open, or not write, a table; None where that was not the reason."""
    if found := _REFUSED_ON_OPENING.search(str(error)):
        return found[1] or found[2]
    return "catalogManaged" if _CATALOG_MANAGED in str(error) else None


def refusal(features: list[str], where: str, expected: str = "a results table with features that we know") -> SettingsError:
    """The error about features of a table."""
    return SettingsError(
        expected=expected,
        got=f"one with {', '.join(features)}: rows would be read or kept wrongly",
        where=f"sink.table = {where}",
        action="Another program has added this. Take it away there (Delta: ALTER TABLE ... DROP FEATURE), or choose another table.",
    )


def _unknown_to_readers(table: DeltaTable) -> Iterator[str]:
    protocol = table.protocol()
    if protocol.min_reader_version > _NEWEST_READER:
        yield f"reader version {protocol.min_reader_version}"
    yield from set(protocol.reader_features or ()) - READABLE
    mode = table.metadata().configuration.get("delta.columnMapping.mode", "none")
    if protocol.min_reader_version < _LISTED_READER and mode != "none":
        yield "columnMapping"


def _unknown_to_writers(table: DeltaTable) -> Iterator[str]:
    protocol = table.protocol()
    if protocol.min_writer_version not in _WRITERS:
        yield f"writer version {protocol.min_writer_version}"
    yield from set(protocol.writer_features or ()) - WRITABLE
    for field in table.schema().fields:
        if '"variant"' in field.to_json():
            yield f"variantType (column {field.name})"
        yield from (rule for name, rule in _COLUMN_RULES.items() if name in (field.metadata or {}))
    if any(name.startswith("delta.constraints.") for name in table.metadata().configuration):
        yield "checkConstraints"
