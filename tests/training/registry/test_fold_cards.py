"""The weights of a fold load as any others, with a card that says what they learnt from and what they answered out of fold."""

from __future__ import annotations

from pathlib import Path

import pytest

from contracts.errors import SettingsError
from models.segmentation.base import SegmentationModel
from models.weights import save_weights
from models.zoo import create_model, load_model
from tests.training.data.written_sets import write_index
from training.data.folds import FoldSettings, make_folds
from training.data.importing import import_set
from training.data.reading import Defaults
from training.distributed.cross_validation import CrossValidation
from training.distributed.team_training import TeamTraining
from training.recipes import plan_named
from training.registry.fold_cards import write_candidates


def test_a_fold_is_a_candidate(tmp_path: Path) -> None:
    write_index(tmp_path / "set")
    import_set("index", tmp_path / "set", tmp_path / "data", Defaults(dataset="my cameras", licence="CC0"))
    folds = make_folds([tmp_path / "data"], FoldSettings(num=3, validation=0.5))
    training = TeamTraining(model="acm", plan=plan_named("ours", ("my cameras",), 2))
    run = CrossValidation(training=training, folders=(tmp_path / "data",), folds=folds, out=str(tmp_path / "run"))
    model = create_model("acm")
    assert isinstance(model, SegmentationModel)
    result = {"fold": 1, "figures": {"iou": 0.51234, "pd": None}, "train": 2, "test": 2, "steps": 9, "best_step": 6, "took_s": 90.0}
    result |= {"settings": model.settings.model_dump() | {"threshold": 0.7}}
    with pytest.raises(SettingsError, match=r"fold-1\.safetensors"):
        write_candidates(run, [result], "irstream train acm")
    (tmp_path / "run").mkdir(exist_ok=True)
    digest = save_weights(model, tmp_path / "run" / "fold-1.safetensors")
    (place,) = write_candidates(run, [result], "irstream train acm")
    loaded, card = load_model("acm", Path(place) / "weights.safetensors")
    assert (card.digest, card.learnt_from, card.data_licence) == (digest, ("my cameras",), "CC0")
    assert "fold 1 of 3: 2 images" in card.data
    assert (card.measured[0].values, card.measured[0].dataset) == ({"iou": 0.5123}, "my cameras")
    assert isinstance(loaded, SegmentationModel)
    assert loaded.settings.threshold == 0.7
