"""The training loop: steps, schedules, checkpoints, progress. It knows no task."""
