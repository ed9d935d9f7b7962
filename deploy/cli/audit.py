"""`irstream audit`: is there exactly one row for every message? Reads the broker and the table only."""

from __future__ import annotations

from typing import TYPE_CHECKING

import typer

from deploy.cli.options import (
    BootstrapOption,
    ConfigOption,
    JsonOption,
    ReasonOption,
    ReplayOfOption,
    RunIdOption,
    TableOption,
    TopicOption,
    load,
    print_json,
    reasons_of,
)

if TYPE_CHECKING:
    from pipeline.ops.audit import PartitionAudit

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False)


@app.command()
def audit(
    config: ConfigOption = None,
    bootstrap_servers: BootstrapOption = None,
    topic: TopicOption = None,
    table: TableOption = None,
    run_id: RunIdOption = None,
    replay_of: ReplayOfOption = None,
    reason: ReasonOption = None,
    as_json: JsonOption = False,
) -> None:
    """Prove that every message up to the table's watermark has exactly one row; a stream may be writing meanwhile.

    Of an archive run (`irstream reprocess`): that every position of its range has; of a shadow, of its share. Exit code 1 on any fault.
    """
    from deploy.terminal.audit_view import audit_json, print_audit
    from deploy.terminal.consoles import status
    from pipeline.ops.audit import audit as audit_partitions
    from pipeline.ops.audit import audit_range
    from pipeline.ops.replay import rejected_offsets
    from pipeline.table.delta import open_results
    from pipeline.table.run_range import stored_range
    from pipeline.table.run_shadow import stored_shadow

    if reason and not replay_of:
        raise typer.BadParameter("only with --replay-of", param_hint="--reason")
    settings = load(config, bootstrap_servers=bootstrap_servers, topic=topic, table=table, run_id=run_id).settings
    storage_options = settings.sink.plain_storage_options()
    results = open_results(settings.sink.table, storage_options)
    archive = stored_range(results, settings.run_id, storage_options)
    shadow = stored_shadow(results, settings.run_id, storage_options)
    name = settings.kafka.topic if archive is None else archive.topic
    selected_offsets = None if replay_of is None else rejected_offsets(results, replay_of, settings.kafka.topic, reasons_of(reason))
    found: list[PartitionAudit] = []
    with status(f"auditing {name}") as say:
        parts = (
            audit_partitions(settings.kafka, results, settings.run_id, selected_offsets, 1.0 if shadow is None else shadow.share)
            if archive is None
            else audit_range(settings.kafka, results, archive)
        )
        for each in parts:
            found.append(each)
            say(f"auditing {name}: {len(found)} partitions")
    clean = all(each.clean for each in found)
    if as_json:
        run = {"run_id": settings.run_id, "topic": name, "table_version": results.version(), "clean": clean}
        print_json(run | {"partitions": [audit_json(each) for each in found]})
    else:
        where = f"run {settings.run_id}, table version {results.version()}"
        print_audit(found, where, whole_range=archive is not None, share=None if shadow is None else shadow.share)
    if not clean:
        raise typer.Exit(1)
