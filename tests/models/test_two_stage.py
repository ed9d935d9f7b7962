"""Two-stage detectors: sizes, the geometry of anchors and regions, who learns what, and what metadata does."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from contracts.frame import Band, Platform
from models.cost import num_parameters, sketch
from models.detection.anchor_rpn import AnchorRpn
from models.detection.anchors import boxes_from, deltas_to, grid_anchors, sides_of, tap_offsets
from models.detection.assignment import by_overlap, by_region, drawn
from models.detection.aux_modules import EdgeEnhancement, Modulation, laplacians
from models.detection.auxdet import AuxDet18
from models.detection.base import BoxTruth, DetectionModel
from models.detection.cascade_rpn import CascadeRpn
from models.detection.faster_rcnn import FasterRcnn18Aux
from models.detection.metadata_encoder import PAPER_BANDS, WIDTH, MetadataEncoder
from models.detection.proposals import strongest_of_each
from models.detection.retinanet import RetinaNet18
from models.detection.roi_head import RoiHead, RoiRules
from models.detection.two_stage import ENLARGE
from models.inference import prepare
from models.interface import MetadataBatch, Task
from models.layers.region_ops import DeformableConv, crops_of
from models.zoo import create_model, list_models

NONE = torch.zeros(0, 4)
SPREAD = (0.1, 0.2, 0.5, 0.4)
DEAD = 1_180_160
MWIR_COLUMN = 32


def built(name: str) -> int:
    """Parameters, without memory for them."""
    with torch.device("meta"):
        return num_parameters(create_model(name))


def test_networks_have_the_published_size() -> None:
    """Counted in the released code; the paper says 45.279, 41.348 (Faster R-CNN) and 36.330 million (RetinaNet)."""
    assert built("auxdet_r50") == 45_279_044
    assert built("cascade_rpn_r50") == 41_936_463
    assert built("faster_rcnn_r50") == 41_348_181
    assert built("retinanet_r50") == 36_329_837
    assert built("auxdet_r18_lean") == built("auxdet_r18") - DEAD + MWIR_COLUMN


def test_multiply_adds_are_counted_of_deformable_convolutions_too() -> None:
    conv, side = DeformableConv(8, 16), 5
    with FlopCounterMode(display=False) as counter:
        conv(torch.randn(2, 8, side, side), torch.zeros(2, 18, side, side))
    assert counter.get_total_flops() == 2 * 2 * side**2 * 9 * 8 * 16


@pytest.mark.slow
def test_the_page_says_the_size_of_every_published_detector() -> None:
    page = (Path(__file__).parents[2] / "docs" / "paper-networks.md").read_text(encoding="utf-8")
    said = {row[0]: row[1:] for row in re.findall(r"^\| `(\w+)` \| ([\d,]+) \| ([\d.]+) \|", page, re.MULTILINE)}
    ours = ("fcos_light", "harrier")
    plans = {name: sketch(name) for name in list_models(Task.DETECTION) if name not in ours and not name.startswith("toy_")}
    assert {name: said.get(name) for name in plans} == {name: (f"{plan.parameters:,}", f"{plan.gmacs:.3f}") for name, plan in plans.items()}


def test_boxes_are_what_their_differences_make_of_the_anchor() -> None:
    anchors, boxes = torch.tensor([[0.0, 0, 32, 32], [10, 4, 30, 12]]), torch.tensor([[5.0, 6, 9, 12], [0, 0, 40, 20]])
    torch.testing.assert_close(boxes_from(deltas_to(boxes, anchors, SPREAD), anchors, SPREAD), boxes)
    # A tenth of the anchor to the right, half as high.
    delta = torch.tensor([1.0, 0.0, 0.0, torch.tensor(0.5).log().item() / 0.4])
    torch.testing.assert_close(boxes_from(delta[None], anchors[:1], SPREAD), torch.tensor([[3.2, 8, 35.2, 24]]))


def test_the_taps_of_a_convolution_lie_on_corners_edges_and_middle_of_the_box() -> None:
    stride, height, width = 4, 6, 8
    boxes_N4 = grid_anchors(height, width, stride, [(6.0, 10.0)], torch.device("cpu")) + 1.5
    # A map that says where it is, in pixels.
    y, x = torch.meshgrid((torch.arange(height) + 0.5) * stride, (torch.arange(width) + 0.5) * stride, indexing="ij")
    conv = DeformableConv(2, 18)
    torch.nn.init.zeros_(conv.weight)
    for tap in range(9):
        for axis in range(2):
            conv.weight.data[2 * tap + axis, axis, tap // 3, tap % 3] = 1
    seen = conv(torch.stack([x, y])[None], tap_offsets(boxes_N4[None], height, width, stride))[0, :, 3, 3].reshape(3, 3, 2)
    x_min, y_min, x_max, y_max = boxes_N4[3 * width + 3].tolist()
    expected = [[(each_x, each_y) for each_x in (x_min, (x_min + x_max) / 2, x_max)] for each_y in (y_min, (y_min + y_max) / 2, y_max)]
    torch.testing.assert_close(seen, torch.tensor(expected))


def test_regions_are_cut_where_their_boxes_say() -> None:
    x_W = (torch.arange(16) + 0.5) * 4
    map_1CHW = x_W.expand(1, 1, 16, 16)
    crops = crops_of(map_1CHW, torch.tensor([[[10.0, 8, 38, 50]]]), 4)
    torch.testing.assert_close(crops[0, 0, 0, 3], 10 + (torch.arange(7) + 0.5) * 4)


def test_cells_in_the_middle_of_a_box_are_responsible_on_the_level_of_its_size() -> None:
    sizes, strides = [(16, 16), (8, 8)], (4, 8)
    small, large, inner = [16.5, 20.5, 19.5, 23.5], [4.0, 4, 60, 60], [28.0, 28, 36, 36]
    near = by_region(torch.tensor([small, large, inner]), sizes, strides, 32.0)
    first, second = near[:256].reshape(16, 16), near[256:].reshape(8, 8)
    # A box smaller than a cell has the cell of its centre.
    assert torch.nonzero(first == 0).tolist() == [[5, 4]]
    assert torch.nonzero(second == 1).tolist() == [[3, 3], [3, 4], [4, 3], [4, 4]]
    assert (first == 2).sum() == 4
    assert (near >= 0).sum() == 9
    nested = by_region(torch.tensor([[0.0, 0, 40, 40], [16, 16, 24, 24]]), sizes, strides, 32.0)
    assert nested.reshape(-1)[5 * 16 + 5] == 1, "the smaller box wins a shared cell"
    assert (by_region(NONE, sizes, strides, 32.0) == -1).all()


def test_overlap_decides_and_every_box_has_its_best_anchor_if_that_is_any_good() -> None:
    anchors = torch.tensor([[0.0, 0, 10, 10], [0, 0, 10, 5], [20, 0, 30, 10], [50, 50, 60, 60], [80, 80, 90, 90]])
    boxes = torch.tensor([[0.0, 0, 10, 9], [24, 0, 34, 10], [100, 100, 101, 101]])
    ignored = torch.tensor([[45.0, 45, 70, 70]])
    assigned = by_overlap(anchors, boxes, ignored, 0.7, 0.3)
    assert assigned.box_N.tolist() == [0, -1, 1, -1, -1], "0.43 is the best there is for the second box; nothing meets the third"
    assert assigned.known_N.tolist() == [True, True, True, False, True]
    assert by_overlap(anchors, boxes, ignored, 0.7).box_N.tolist() == [0, -1, -1, -1, -1]
    between = by_overlap(anchors, boxes, ignored, 0.7, 0.3, 0.5)
    assert between.box_N.tolist() == assigned.box_N.tolist()
    assert between.known_N.tolist() == [True, False, True, False, True], "the second anchor has 0.56 of the first box"
    positive, negative = drawn(assigned, 3, 0.4)
    assert (positive >= 0).all()
    assert len(positive) == 1
    assert set(negative.tolist()) == {1, 4}
    assert by_overlap(anchors, NONE, NONE, 0.7, 0.3).known_N.all()


def test_proposals_are_as_many_for_each_image_and_doubled_ones_come_last() -> None:
    boxes = torch.tensor([[0.0, 0, 10, 10], [0, 0, 10, 9.5], [20, 20, 30, 30], [-5, 60, 8, 80]])
    scores = torch.tensor([[0.9, 0.8, 0.3, 0.2], [0.1, 0.2, 0.3, 0.4]])
    found = strongest_of_each(boxes.expand(2, 4, 4), scores, [3, 1], (70, 64), 3, 10)
    cut = torch.tensor([0.0, 60, 8, 70])
    torch.testing.assert_close(found[0], torch.stack([boxes[0], boxes[2], cut]))
    torch.testing.assert_close(found[1], torch.stack([cut, boxes[2], boxes[1]]))
    every = strongest_of_each(boxes.expand(2, 4, 4), scores, [3, 1], (70, 64), 9, 10)
    torch.testing.assert_close(every[0, 3], boxes[1])


@pytest.mark.slow
def test_the_loss_of_proposals_falls_as_they_come_to_the_boxes() -> None:
    torch.manual_seed(0)
    rpn, box = CascadeRpn(8, (4, 8)), torch.tensor([[12.0, 20, 24, 30]])
    maps = [torch.randn(1, 8, 16, 16), torch.randn(1, 8, 8, 8)]
    optimiser, losses = torch.optim.Adam(rpn.parameters(), 1e-2), []
    for _ in range(60):
        loss = rpn.loss(rpn(maps), [BoxTruth(box, NONE)])
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0] / 4
    found = rpn.proposals(rpn(maps), (64, 64), 20, 100)
    torch.testing.assert_close(found[0, 0], box[0], atol=2.0, rtol=0)
    empty = rpn.loss(rpn(maps), [BoxTruth(NONE, torch.tensor([[0.0, 0, 64, 64]]))])
    assert torch.isfinite(empty)
    assert empty.requires_grad


def test_the_head_learns_from_the_true_box_and_sees_the_level_of_its_size() -> None:
    torch.manual_seed(0)
    head = RoiHead(2, (4, 8), RoiRules())
    maps = [torch.zeros(1, 2, 64, 64), torch.ones(1, 2, 32, 32)]
    boxes = torch.tensor([[[8.0, 8, 119, 119], [8, 8, 121, 121]]])
    assert head._seen(maps, boxes).amax((2, 3, 4)).tolist() == [[0, 1]]
    truth = BoxTruth(torch.tensor([[16.0, 16, 40, 40]]), NONE)
    far = torch.tensor([[[100.0, 100, 120, 120]]])
    only_none, both = (head.loss(maps, far, [each]).item() for each in (BoxTruth(NONE, NONE), truth))
    with torch.no_grad():
        head.classes.bias.copy_(torch.tensor([-5.0, 5.0]))  # all is background
    assert head.loss(maps, far, [BoxTruth(NONE, NONE)]).item() < only_none / 10
    assert head.loss(maps, far, [truth]).item() > both


def test_kernels_of_places_learn_as_in_the_paper_or_not_as_in_the_code() -> None:
    kernel = laplacians(torch.tensor([[[1.0, 2, 3, 4], [0.5, 0, 0, 0]]]))[0]
    assert kernel.tolist() == [[[0, 1, 0], [2, -10, 3], [0, 4, 0]], [[0, 0.5, 0], [0, -0.5, 0], [0, 0, 0]]]
    torch.manual_seed(0)
    x, aux = torch.randn(2, 16, 8, 8), torch.randn(2, WIDTH)
    for learns in (True, False):
        modulation = Modulation(16, learns)
        modulation(x, aux).square().sum().backward()
        norm = modulation.get_parameter("gains.1.weight").grad
        assert norm is not None
        assert bool(norm[16:].any()) == learns
        assert norm[:16].all()


def test_modulation_is_of_each_sample_by_itself_and_what_is_flat_has_no_edge() -> None:
    torch.manual_seed(0)
    modulation, x, aux = Modulation(16), torch.randn(3, 16, 8, 8), torch.randn(3, WIDTH)
    together = modulation(x, aux)
    for item in range(3):
        torch.testing.assert_close(modulation(x[item : item + 1], aux[item : item + 1]), together[item : item + 1])
    flat = torch.full((1, 16, 8, 8), 7.0)
    ratio = modulation(flat, aux[:1]) / flat
    assert torch.equal(ratio, ratio[..., :1, :1].expand_as(ratio)), "also at the border"

    edges, gate = EdgeEnhancement(16), torch.ones(1, 1)
    torch.testing.assert_close(edges(flat, gate), flat, atol=1e-3, rtol=0)
    flat[0, 3, 4, 4] = -20  # dark: a vertical second difference above 0, which the ReLU lets through
    added = edges(flat, gate) - flat
    assert added[0, 3, 4, 4].abs() > 1
    assert added[0, [0, 1, 2, 4]].abs().max() < 1e-3, "kernels begin channel by channel"
    torch.testing.assert_close(edges(flat, 0 * gate), flat)


def known(*each: tuple[Platform, Band, tuple[int, int]]) -> MetadataBatch:
    return MetadataBatch.of_each(each)


def test_what_is_not_known_is_zeros_and_one_frame_is_a_batch() -> None:
    torch.manual_seed(0)
    encoder = MetadataEncoder(16)
    inputs: dict[str, Tensor] = {}
    for name in ("platform", "band", "size"):
        getattr(encoder, name).register_forward_pre_hook(lambda _, args, name=name: inputs.update({name: args[0]}))
    several = known(
        (Platform.AIR, Band.LWIR, (256, 512)), (Platform.LAND, Band.MWIR, (0, 0)), (Platform.UNKNOWN, Band.UNKNOWN, (1024, 1024))
    )
    encoder.train().of_metadata(several)
    assert inputs["platform"].tolist() == [[1, 0, 0], [0, 0, 1], [0, 0, 0]]
    assert inputs["band"].tolist() == [[1, 0, 0], [0, 0, 0], [0, 0, 0]]
    expected = torch.tensor([0.25, 0.125, 2.0])
    torch.testing.assert_close(inputs["size"][0], torch.cat([expected.sin(), expected.cos()]))
    assert not inputs["size"][1].any()
    MetadataEncoder(16, (*PAPER_BANDS, Band.MWIR)).of_metadata(several)

    one = known((Platform.AIR, Band.LWIR, (256, 512)))
    before = encoder.get_buffer("platform.2.running_mean").clone()
    answer = encoder(encoder.of_metadata(one), torch.randn(1, 16))
    assert torch.isfinite(answer).all()
    assert answer.requires_grad
    torch.testing.assert_close(encoder.get_buffer("platform.2.running_mean"), before)


def test_a_camera_that_was_never_seen_is_not_amplified_without_bounds() -> None:
    torch.manual_seed(0)
    encoder = MetadataEncoder(16).train()
    same = known(*[(Platform.LAND, Band.LWIR, (256, 256))] * 4)
    for _ in range(200):
        encoder.of_metadata(same)
    encoder.eval()
    usual, other = (encoder.of_metadata(each) for each in (same, known((Platform.AIR, Band.NIR, (640, 512)))))
    assert (other - usual[:1]).abs().max() < 20


@pytest.fixture(scope="module")
def auxdet() -> AuxDet18:
    torch.manual_seed(0)
    network = AuxDet18().eval()
    # Random scores that differ from place to place.
    torch.nn.init.normal_(network.get_parameter("proposer.objectness.weight"), std=0.3)
    torch.nn.init.normal_(network.head.classes.weight, std=0.3)
    return network


def pixels(num: int) -> Tensor:
    torch.manual_seed(1)
    return torch.randn(num, 1, 64, 48)


@pytest.mark.slow
def test_an_answer_depends_on_its_own_frame_and_metadata_alone(auxdet: AuxDet18) -> None:
    frames = pixels(2)
    metadata = known((Platform.AIR, Band.LWIR, (64, 48)), (Platform.SPACE, Band.NIR, (64, 48)))
    model = prepare(auxdet)
    assert not [each for each in model.model.modules() if isinstance(each, torch.nn.BatchNorm2d)]
    logits, boxes = model.forward(frames, metadata)
    with torch.inference_mode():
        plain = auxdet(frames, metadata)
    torch.testing.assert_close(logits, plain[0], atol=2e-3, rtol=1e-3)
    assert boxes.shape == (2, logits.shape[1], 4)
    alone = model.forward(frames[1:], known((Platform.SPACE, Band.NIR, (64, 48))))
    torch.testing.assert_close(alone[0], logits[1:], atol=1e-4, rtol=1e-3)
    other = model.forward(frames[1:], known((Platform.UNKNOWN, Band.UNKNOWN, (64, 48))))
    assert (other[0] - alone[0]).abs().max() > 1e-3
    found = auxdet.postprocess((logits, boxes), [(64, 48), (60, 40)])
    assert all(len(each) > 0 for each in found)
    assert found[1].boxes_xyxy_px[:, 2].max() <= 40
    assert found[1].boxes_xyxy_px[:, 3].max() <= 60


@pytest.mark.slow
def test_in_training_all_parameters_learn_but_those_that_are_dead(auxdet: AuxDet18) -> None:
    network = auxdet.train()
    # A single frame: a batch that norms of metadata have to work on.
    raw = network(pixels(1), known((Platform.AIR, Band.LWIR, (64, 48))))
    assert raw[0].shape == (1, 256, 64 * ENLARGE // 4, 48 * ENLARGE // 4)
    truth = BoxTruth(torch.tensor([[10.0, 12, 15, 18]]), NONE)
    network.zero_grad()
    network.training_loss(raw, [truth]).backward()  # type: ignore[no-untyped-call]
    still = {name for name, parameter in network.named_parameters() if parameter.grad is None}
    assert still == {f"neck.smoothings.{level}.{part}" for level in (2, 3) for part in ("weight", "bias")}
    assert sum(dict(network.named_parameters())[name].numel() for name in still) == DEAD
    network.eval().zero_grad()


def test_anchors_of_a_cell_have_one_area_and_learn_their_box() -> None:
    sides = torch.tensor(sides_of(32.0, (0.5, 1.0, 2.0)))
    torch.testing.assert_close(sides.prod(1), torch.full((3,), 32.0**2))
    torch.testing.assert_close(sides[:, 1] / sides[:, 0], torch.tensor([0.5, 1, 2]))
    torch.manual_seed(0)
    rpn, box = AnchorRpn(8, (4, 8)), torch.tensor([[12.0, 20, 40, 44]])
    maps = [torch.randn(1, 8, 16, 16), torch.randn(1, 8, 8, 8)]
    optimiser = torch.optim.Adam(rpn.parameters(), 1e-2)
    losses = []
    for _ in range(80):
        loss = rpn.loss(rpn(maps), [BoxTruth(box, NONE)])
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0] / 4
    torch.testing.assert_close(rpn.proposals(rpn(maps), (64, 64), 20, 100)[0, 0], box[0], atol=4.0, rtol=0)


@pytest.mark.slow
@pytest.mark.parametrize("kind", [FasterRcnn18Aux, RetinaNet18])
def test_baselines_learn_with_all_their_parameters_and_answer_in_pixels_of_the_frame(kind: type[DetectionModel]) -> None:
    torch.manual_seed(0)
    network = kind().train()
    metadata = known((Platform.AIR, Band.LWIR, (64, 48)))
    truth = BoxTruth(torch.tensor([[10.0, 12, 15, 18]]), NONE)
    network.training_loss(network(pixels(1), metadata), [truth]).backward()  # type: ignore[no-untyped-call]
    assert not [name for name, parameter in network.named_parameters() if parameter.grad is None]
    network.configure({"score_threshold": 1e-6})
    with torch.inference_mode():
        raw = network.eval()(pixels(1), metadata)
    scores, boxes = network.scored_boxes(raw)
    assert scores.shape == boxes.shape[:2]
    middles = (boxes[..., :2] + boxes[..., 2:]) / 2
    assert (middles.amax(1) < 80).all()
    assert (middles.amax(1) > 24).all()
