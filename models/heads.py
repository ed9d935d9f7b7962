"""The head of a network: the layers that make its answer out of what the others see."""

from __future__ import annotations

from typing import Any

from torch import nn

from contracts.errors import SettingsError
from models.interface import Model


def learn_head_alone(model: Model[Any]) -> None:
    """Let the parameters of the head learn, and no others.

    Raises:
        SettingsError: the network does not say what its head is (`Model.head_names`).
    """
    head = tuple(f"{name}." for name in model.head_names)
    names = [name for name, _ in model.named_parameters() if name.startswith(head)]
    if not names:
        raise SettingsError(
            expected=f"a network with a head: a part named {' or '.join(model.head_names)}",
            got=f"{model.name}, which has {', '.join(name for name, _ in model.named_children())}",
            where="`what learns`",
            action="Name its last layers in its class (head_names), or let all of it learn.",
        )
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(name.startswith(head))


def last_linear(model: Model[Any]) -> nn.Linear:
    """The layer that makes logits of classes out of features.

    Raises:
        SettingsError: there is none.
    """
    found = [layer for layer in model.modules() if isinstance(layer, nn.Linear)]
    if not found or found[-1].out_features != len(model.class_names):
        raise SettingsError(
            expected="a network whose last layer is linear, one row a class",
            got=model.name,
            where="`what learns`",
            action="Let its head learn, or all of it.",
        )
    return found[-1]
