"""The weights of a fold load as any others, with a card that says what they learnt from and what they answered out of fold."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from actors.loading import load
from actors.settings import ModelActorSettings
from contracts.errors import SettingsError
from contracts.result import ModelRef
from deploy.settings.model_check import network_mistakes
from models.interface import MetadataBatch, Task
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
from training.registry.promotion import Contender, held_out_rows
from training.tasks.teachers import teachers_named, what_they_know


def test_the_networks_of_all_folds_are_one_candidate_at_as_many_times_the_cost(tmp_path: Path) -> None:
    write_index(tmp_path / "set")
    import_set("index", tmp_path / "set", tmp_path / "data", Defaults(dataset="my cameras", licence="CC0"))
    folds = make_folds([tmp_path / "data"], FoldSettings(num=3, validation=0.5))
    training = TeamTraining(model="acm", plan=plan_named("ours", ("my cameras",), 2))
    run = CrossValidation(training=training, folders=(tmp_path / "data",), folds=folds, out=str(tmp_path / "run"))
    (tmp_path / "run").mkdir()
    results, networks = [], []
    for fold in range(3):
        torch.manual_seed(fold)
        network = create_model("acm").eval()
        assert isinstance(network, SegmentationModel)
        save_weights(network, tmp_path / "run" / f"fold-{fold}.safetensors")
        settings = network.settings.model_dump() | {"threshold": 0.5 + 0.2 * fold}
        results.append(
            {"fold": fold, "figures": {"iou": 0.5}, "train": 2, "test": 2, "steps": 9, "best_step": 6, "took_s": 90.0, "settings": settings}
        )
    *places, whole = write_candidates(run, results, "irstream train acm")
    networks = [load_model("acm", place)[0] for place in places]
    ensemble, card = load_model("acm", whole)
    pixels_B1HW, metadata = torch.randn(1, 1, 64, 64), MetadataBatch.unknown((64, 64))
    with torch.no_grad():
        mean = torch.stack([network(pixels_B1HW, metadata) for network in networks]).mean(0)
        torch.testing.assert_close(ensemble(pixels_B1HW, metadata), mean)
    alone = load_model("acm", places[0])[1]
    assert (card.members, card.parameters) == (3, 3 * alone.parameters)
    assert card.gmacs == pytest.approx(3 * alone.gmacs)
    assert (card.learnt_from, card.knows_tests, card.measured) == (("my cameras",), True, ())
    assert card.postprocess["threshold"] == pytest.approx(0.7)
    actor = ModelActorSettings(model="acm", weights=whole)
    assert network_mistakes(actor, "segmenter") == []
    assert load(actor, Task.SEGMENTATION).ref == ModelRef("segmentation", "acm", card.digest)
    (tmp_path / "run" / "folds.json").write_text(folds.text())
    teachers = teachers_named([whole])
    assert [teacher.digest for teacher in teachers] == [load_model("acm", place)[1].digest for place in places]
    assert "test images of my cameras" in what_they_know(teachers, ("my cameras", "another"))
    assert "test images" not in what_they_know(teachers, ("another",))
    (Path(places[1]) / "weights.safetensors").unlink()
    with pytest.raises(SettingsError, match=r"all 3 folds.*those of 2"):
        teachers_named([whole])
    contender = Contender(model=ensemble, card=card, named=whole)
    with pytest.raises(SettingsError, match="split unseen: folds know the rest"):
        held_out_rows([tmp_path / "data"], [contender])


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
