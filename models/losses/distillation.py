"""Losses that make a network answer as others do: those of a student, from the logits of its teachers."""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional

_PIXELS = 20.0
"""As much as single pixels weigh in `soft_iou_bce`."""
_TEMPERATURE = 2.0


def mask_distillation_loss(student_B1HW: Tensor, teacher_B1HW: Tensor) -> Tensor:
    """Binary cross-entropy of every pixel with the teacher's probability, less its least value: 0 where both agree; times 20.

    Args:
        student_B1HW: logits.
        teacher_B1HW: logits, without gradient.

    Returns:
        Scalar, nats.

    Source: Hinton, Vinyals and Dean 2015, arXiv:1503.02531, with a sigmoid.
    """
    soft_B1HW = teacher_B1HW.sigmoid()
    cross = functional.binary_cross_entropy_with_logits(student_B1HW, soft_B1HW)
    return _PIXELS * (cross - functional.binary_cross_entropy_with_logits(teacher_B1HW, soft_B1HW))


def class_distillation_loss(student_BK: Tensor, teacher_BK: Tensor) -> Tensor:
    """`T^2 KL(teacher || student)` of the class probabilities at temperature T = 2, mean over the crops.

    Args:
        student_BK: logits.
        teacher_BK: logits, without gradient.

    Returns:
        Scalar, nats.

    Source: Hinton, Vinyals and Dean 2015, arXiv:1503.02531, section 2.
    """
    student, teacher = (logits / _TEMPERATURE for logits in (student_BK, teacher_BK))
    return _TEMPERATURE**2 * functional.kl_div(student.log_softmax(1), teacher.log_softmax(1), reduction="batchmean", log_target=True)
