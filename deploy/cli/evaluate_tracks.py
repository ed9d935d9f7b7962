"""`irstream evaluate ROWS --tracks TRUTH`: how good tracks are, from rows that exist; no network runs."""

from __future__ import annotations

from pathlib import Path

from deploy.cli.options import print_json


def evaluate_tracks(rows: Path, truth: Path, again: bool, config: Path | None, as_json: bool) -> None:
    """Compare the tracks of rows with true ones, and show it.

    Args:
        rows: a Parquet with columns of the results table, a folder of such files (of `irstream predict`), or a results table.
        truth: `tracks.jsonl`, or the folder that it is in.
        again: make the tracks anew from the detections, with the settings that hold now.
        config: settings file.
        as_json: print JSON in place of a table.

    Raises:
        SettingsError: no rows, or no true target in any of their frames.
    """
    from contracts.errors import SettingsError
    from deploy.cli.options import load
    from deploy.predicting.tracks import clips_of, read_rows, tracked_again, true_boxes
    from deploy.terminal.tracks_view import print_tracks, tracks_json
    from evaluation.tracks import centre_closeness, track_scores
    from models.boxes import iou_matrix

    results = read_rows(rows)
    if again:
        settings = load(config).settings
        results = tracked_again(results, settings.tracks, settings.stream.label_min_score)
    clips = clips_of(results, true_boxes(truth))
    if not any(frame.truth_ids for clip in clips.values() for frame in clip):
        raise SettingsError(
            expected="true tracks of some of the frames",
            got=f"none for {len(results)} frames",
            where=str(truth),
            action="Name the tracks.jsonl of the clips that the rows were made of; clips are known by the names of their files.",
        )
    places = {name: track_scores([clip], centre_closeness) for name, clip in clips.items()}
    whole = track_scores(list(clips.values()), centre_closeness)
    boxes = track_scores(list(clips.values()), iou_matrix)
    if as_json:
        print_json(tracks_json(places, whole, boxes))
    else:
        print_tracks(places, whole, boxes)
