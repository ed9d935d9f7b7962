"""One process of a fold: errors on purpose reach who asked; room for those that learn and those that read."""

from __future__ import annotations

from pathlib import Path

import pytest

from contracts.errors import SettingsError
from deploy.cli.train_folds import FoldOptions, at_a_time
from training.distributed.fold_trainer import FoldRequest, learn, stopped_by, with_point
from training.distributed.storage import Storage
from training.distributed.team_training import READ_CPUS, WORKER_CPUS, Room, TeamTraining
from training.recipes import plan_named


def options(workers: int = 1, gpus: float = 0.0, side_by_side: int | None = None) -> FoldOptions:
    return FoldOptions(
        folds=5,
        data=(),
        out="",
        workers=workers,
        gpus_per_worker=gpus,
        stratify="class",
        validation_share=0.15,
        fold_seed=0,
        allow_leaks=False,
        side_by_side=side_by_side,
        start=None,
    )


@pytest.mark.slow
def test_an_error_on_purpose_ends_the_process_is_kept_and_comes_once(tmp_path: Path) -> None:
    training = TeamTraining(model="acm", plan=plan_named("ours", ("nudt-sirst",), 1), start=tmp_path / "none.safetensors")
    request = FoldRequest(training=training, fold=3, parts=(), names={}, crops=1, pixel_bytes=1, storage=str(tmp_path / "run"))
    assert stopped_by(request) is None
    with pytest.raises(SettingsError):  # the others wait for this process for ever, unless it fails
        learn({"request": request})
    stop = stopped_by(request)
    assert stop is not None
    assert stop.where.startswith("fold 3, ")
    assert "none.safetensors" in str(stop)
    learn({"request": request})  # Ray starts it anew: it does nothing


def test_a_learning_curve_outlives_the_process_that_began_it() -> None:
    curve = with_point(with_point([], 2, 0.5, 0.3), 4, 0.4, 0.35)
    assert with_point(curve, 4, 0.4, None) == curve, "gone on from this very step, which nobody validates twice"
    assert with_point(curve, 3, 0.45, None) == [curve[0], {"step": 3, "loss": 0.45, "validation": None}]


def test_processes_may_write_one_file_of_the_storage_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    storage = Storage(str(tmp_path))
    move = type(storage._files).move

    class Overtaken:
        def __getattr__(self, name: str) -> object:
            return getattr(files, name)

        def move(self, source: str, target: str) -> None:
            monkeypatch.setattr(storage, "_files", files)
            storage.write("error.json", b"other")
            move(files, source, target)

    files = storage._files
    monkeypatch.setattr(storage, "_files", Overtaken())
    storage.write("error.json", b"this")
    assert storage.read("error.json") == b"this"
    assert [path.name for path in tmp_path.iterdir()] == ["error.json"]


@pytest.mark.parametrize(
    ("wanted", "room", "found"),
    [
        pytest.param(options(), Room(4, 4, 0), (4, 1), id="a cluster"),
        pytest.param(options(2), Room(4, 4, 0), (2, 1), id="two processes"),
        pytest.param(options(), Room(2, 8, 0), (2, 1), id="a local Ray counts more CPUs than there are"),
        pytest.param(options(3, side_by_side=1), Room(2, 8, 0), (1, 1), id="more processes than cores"),
        pytest.param(options(side_by_side=5), Room(2, 2, 0), (2, 1), id="more folds than fit are asked for"),
        pytest.param(options(gpus=0.1), Room(2, 2, 1), (2, 1), id="shares of a GPU, few CPUs"),
        pytest.param(options(gpus=0.3), Room(16, 16, 0.9), (3, 5), id="thirds of a GPU"),
    ],
)
def test_folds_side_by_side_leave_ray_data_room_to_read(wanted: FoldOptions, room: Room, found: tuple[int, int]) -> None:
    side_by_side, threads = at_a_time(wanted, room)
    assert (side_by_side, threads) == found
    reserved = side_by_side * wanted.workers * WORKER_CPUS
    assert reserved + 3 * READ_CPUS * side_by_side <= room.ray_cpus + 1e-9, "train, validation and test are read beside the processes"


@pytest.mark.parametrize(("wanted", "what"), [(options(3), "3 CPUs"), (options(2, gpus=1.0), "2 GPUs")])
def test_a_fold_that_has_no_room_is_refused(wanted: FoldOptions, what: str) -> None:
    with pytest.raises(SettingsError, match=f"expected {what}.*in this Ray"):
        at_a_time(wanted, Room(2, 2, 1))
