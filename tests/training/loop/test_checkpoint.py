"""What a training goes on from, and what it refuses to go on from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from contracts.errors import SettingsError
from models.zoo import create_model
from training.augmentation.plan import Augmentation
from training.fit import fit_network
from training.loop.checkpoint import progress_of, require_writable, steps_done
from training.loop.loop import LoopReport
from training.recipes import TrainingPlan, plan_named
from training.registry.export import Provenance, export
from training.tasks.segmentation import SegmentationRecipe

pytestmark = pytest.mark.usefixtures("made_data")


def small(epochs: float = 0.5, **changes: Any) -> TrainingPlan:
    plan = plan_named("ours", ("nudt-sirst",), epochs)
    assert isinstance(plan.recipe, SegmentationRecipe)
    recipe = replace(plan.recipe, batch_size=4, augmentation=Augmentation(crop_px=32))
    return replace(plan, recipe=replace(recipe, **changes))


def trained(name: str, plan: TrainingPlan, folder: Path) -> LoopReport:
    return fit_network(name, plan, folder)[1]


def rewritten(folder: Path, changes: Mapping[str, Any]) -> None:
    """The checkpoint as an older version would have written it."""
    state = torch.load(folder / "checkpoint.pt", weights_only=True) | changes
    torch.save({name: value for name, value in state.items() if value is not ...}, folder / "checkpoint.pt")


@pytest.fixture(scope="module")
def begun(tmp_path_factory: pytest.TempPathFactory, made_root: Path) -> Path:
    """A folder with a checkpoint of ACM after three steps; not to be written."""
    folder = tmp_path_factory.mktemp("begun")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("IRSTREAM_DATA", str(made_root))
        assert trained("acm", small(), folder).steps == 3
    return folder


UNTOLD = Provenance("", "", small().recipe)
CHANGED = {
    "batch size": (small(batch_size=8, shares={"nudt-sirst": 1.0}), "`batch size` 8"),
    "loss": (small(loss="bce"), "`loss` bce"),
    "seed": (small(seed=3), "`seed` 3"),
    "crop": (small(augmentation=Augmentation(crop_px=48)), "`side of the crops` 48"),
    "data": (small(shares={"sirst-v2": 1.0}), r"`data sets` sirst-v2 \(1\)"),
    "lr": (replace(small(), loop=replace(small().loop, max_lr=0.5)), "`peak learning rate` 0.5"),
    "schedule": (replace(small(), loop=replace(small().loop, schedule="poly")), "`schedule` poly"),
    "average": (replace(small(), loop=replace(small().loop, average_decay=0.5)), "`decay of the averaged weights` 0.5"),
    "norms": (replace(small(), loop=replace(small().loop, frozen_norms=True)), "`frozen batch norms` True"),
}


@pytest.mark.slow
@pytest.mark.parametrize("change", CHANGED)
def test_another_training_is_refused_and_what_differs_is_named(change: str, begun: Path) -> None:
    plan, text = CHANGED[change]
    before = (begun / "checkpoint.pt").read_bytes()
    with pytest.raises(SettingsError, match=rf"got .*{text}.* Name another `folder`"):
        trained("acm", plan.with_epochs(5), begun)
    assert (begun / "checkpoint.pt").read_bytes() == before


@pytest.mark.slow
def test_another_network_with_the_same_names_of_weights_is_refused(tmp_path: Path) -> None:
    trained("sgem_unet", small(0.1), tmp_path)
    with pytest.raises(SettingsError, match=r"expected `network` sgem_unet as in the checkpoint, got `network` sgem_unet_no_softmax\."):
        trained("sgem_unet_no_softmax", small(0.1), tmp_path)
    with pytest.raises(SettingsError, match="`network` sgem_unet "):
        export("sgem_unet_no_softmax", tmp_path / "checkpoint.pt", tmp_path / "weights.safetensors", UNTOLD)


@pytest.mark.slow
def test_fewer_steps_than_are_done_are_refused_and_more_go_on(tmp_path: Path) -> None:
    assert trained("acm", small(0.5), tmp_path).steps == 3
    with pytest.raises(SettingsError, match=r"at least the 3 steps that are done, got 2 steps.*as many `epochs`"):
        trained("acm", small(0.3), tmp_path)
    assert trained("acm", small(0.7), tmp_path).steps == 5
    assert trained("acm", replace(small(0.7), loop=replace(small().loop, checkpoint_s=7)), tmp_path).steps == 5


@pytest.mark.slow
@pytest.mark.parametrize("form", [..., 1, 3])
def test_a_checkpoint_of_another_version_is_refused(form: Any, tmp_path: Path) -> None:
    trained("acm", small(), tmp_path)
    rewritten(tmp_path, {"version": form})
    before = (tmp_path / "checkpoint.pt").read_bytes()
    with pytest.raises(
        SettingsError, match=r"a checkpoint of form 2, got one of form [13], of another version.*Finish that training.*another `folder`"
    ):
        trained("acm", small(1.0), tmp_path)
    assert (tmp_path / "checkpoint.pt").read_bytes() == before


@pytest.mark.slow
@pytest.mark.parametrize("name", ["unet_light", "kestrel"])
def test_weights_that_do_not_fit_are_refused_where_nobody_wrote_the_name(name: str, tmp_path: Path) -> None:
    trained("acm", small(), tmp_path)
    rewritten(tmp_path, {"identity": ...})
    with pytest.raises(SettingsError, match=f"expected weights of the network {name}, got those of another one: no .* and .* more"):
        trained(name, small(1.0), tmp_path)
    with pytest.raises(SettingsError, match=f"expected weights of the network {name}"):
        export(name, tmp_path / "checkpoint.pt", tmp_path / "weights.safetensors", UNTOLD)


@pytest.mark.slow
def test_an_optimiser_that_does_not_fit_is_refused(tmp_path: Path) -> None:
    trained("acm", small(), tmp_path)
    other = torch.optim.AdamW(create_model("unet_light").parameters())
    rewritten(tmp_path, {"identity": ..., "optimiser": other.state_dict()})
    with pytest.raises(SettingsError, match="expected the state of this training's optimiser"):
        trained("acm", small(1.0), tmp_path)


@pytest.mark.parametrize("length", [0, 1, 1000, -100])
def test_a_file_that_was_cut_off_is_told(length: int, begun: Path, tmp_path: Path) -> None:
    (tmp_path / "checkpoint.pt").write_bytes((begun / "checkpoint.pt").read_bytes()[:length])
    told = r"checkpoint\.pt: expected a checkpoint, got a file that cannot be read: .*\. Delete it to begin again\.$"
    with pytest.raises(SettingsError, match=told):
        steps_done(tmp_path)
    with pytest.raises(SettingsError, match=told):
        trained("acm", small(), tmp_path)


@pytest.mark.parametrize("state", [{"weights": 1}, [1], torch.zeros(3)], ids=["names", "list", "tensor"])
def test_something_else_is_no_checkpoint(state: object, tmp_path: Path) -> None:
    torch.save(state, tmp_path / "checkpoint.pt")
    with pytest.raises(SettingsError, match="cannot be read"):
        progress_of(tmp_path)


@pytest.mark.parametrize("where", ["file", "file/below", "/proc/x"])
def test_a_folder_that_cannot_be_written_is_told(where: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SettingsError, match=r"expected a folder that can be written.*another `folder`"):
        require_writable(tmp_path / where)
