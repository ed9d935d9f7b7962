"""An archive through a real broker and Ray: one partition read by two tasks, up to the marker of a transaction."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from deltalake import DeltaTable
from kafka import KafkaProducer

from contracts.archive_range import ArchiveRequest
from contracts.errors import SettingsError
from pipeline.inputs.feeds import FrameSource
from pipeline.inputs.find import Labels, find_inputs
from pipeline.ops.audit import audit_range
from pipeline.reprocess import ArchiveSummary, Asked, open_file_archive, open_topic_archive, open_topic_rows, run_archive
from pipeline.settings import ArchiveSettings
from pipeline.stream import run_stream
from tests.conftest import RealKafka
from tests.integration.feeds import job, marked_frame, rows
from tests.pipeline.inference.rule_networks import RuleNetworks

pytestmark = [pytest.mark.broker, pytest.mark.ray, pytest.mark.usefixtures("local_ray")]


def test_a_stretch_of_a_topic_and_a_folder_are_processed_and_proved(kafka: RealKafka, tmp_path: Path) -> None:
    settings = kafka.settings(topic=kafka.new_topic(1))
    producer = KafkaProducer(bootstrap_servers=settings.bootstrap_servers, transactional_id="archive-of-a-test")
    producer.init_transactions()
    for begin in (0, 40):
        producer.begin_transaction()
        for number in range(begin, begin + 40):
            producer.send(settings.topic, marked_frame(number % 3), key=b"cam", partition=0)
        producer.commit_transaction()
    producer.close()
    table = tmp_path / "table"
    one = job(settings, table, RuleNetworks().handles(), run_id="again")
    asked = Asked("again", ArchiveRequest(kind="topic", inputs=(settings.topic,), begin="10"), {})

    def process(archive: object) -> ArchiveSummary:
        return run_archive(one, archive, ArchiveSettings(split_bytes=10 * len(marked_frame(1))), 2, stop=threading.Event())  # type: ignore[arg-type]

    archive = open_topic_archive(asked, settings, one.sink)
    assert [(each.start, each.stop) for each in archive.range.partitions] == [(10, 82)], "40 and a marker, twice"
    summary = process(archive)
    assert (summary.complete, summary.rows_now) == (True, 72)
    found = sorted((row["source_offset"], len(row["detections"])) for row in rows(table))
    assert found == [(at, (at if at < 40 else at - 1) % 3) for at in range(10, 81) if at != 40]
    (proof,) = audit_range(settings, DeltaTable(str(table)), archive.range)
    assert (proof.clean, proof.ok, proof.empty) == (True, 70, 2)
    DeltaTable(str(table)).delete("source_offset in (12, 80)")
    (loss,) = audit_range(settings, DeltaTable(str(table)), archive.range)
    assert [(span.start, span.stop) for span in loss.lost] == [(12, 13), (80, 81)]
    rows_again = Asked("rows", ArchiveRequest(kind="run", inputs=("again",)), {})
    selected = open_topic_rows(rows_again, settings, one.sink, "again")
    assert selected.range.partitions[0].selected == ((10, 12), (13, 40), (41, 80))
    one = job(settings, table, RuleNetworks().handles(), run_id="rows")
    assert process(selected).complete
    (proof,) = audit_range(settings, DeltaTable(str(table)), selected.range)
    assert (proof.clean, proof.ok) == (True, 68)
    one = job(settings, table, RuleNetworks().handles(), run_id="again")
    with pytest.raises(SettingsError, match="got again, an archive run"):
        run_stream(one, stop=threading.Event())

    folder = tmp_path / "night"
    folder.mkdir()
    for number in range(20):
        (folder / f"{number}.png").write_bytes(marked_frame(number % 3))
    source = FrameSource(find_inputs([folder], Labels()).sequences)
    files = open_file_archive(Asked("files", ArchiveRequest(kind="files", inputs=("night",)), {}), "night", source, [folder], one.sink)
    one = job(settings, table, RuleNetworks().handles(), run_id="files")
    assert process(files).complete
    assert all(each.clean and each.ok == 20 for each in audit_range(settings, DeltaTable(str(table)), files.range))
