"""What a method is: a module that owns exactly the tensors it trains, and acts on a frozen backbone."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from pydantic import PositiveFloat
from torch import Tensor, nn

from peft_cli.backbone import Backbone, Batch
from peft_cli.run_folder.tensors import describe_shapes


class Method(nn.Module):
    """Constructing a method attaches it to the backbone, which is frozen and stays so.

    `parameters()` are what trains and what is counted, `state_dict()` is what is stored for a task. A subclass builds
    its tensors in `__init__` and overrides below only what it changes. To restore: construct, `fold()`, then
    `load_state_dict` of what was stored.
    """

    starts_neutral = True  # whether the backbone's logits are unchanged at step 0
    form = "classes"  # how an encoder is asked for a class: classes | entailment | mask

    def __init__(self, backbone: Backbone, lr: PositiveFloat):
        super().__init__()
        if self.form not in ("classes", backbone.form):
            raise ValueError(
                f"{type(self).__name__} needs an encoder with backbone.form={self.form}, and "
                f"{backbone.config.model_type} has backbone.form={backbone.form} here"
            )
        self.backbone, self.lr = backbone, lr
        self.adopted = nn.ParameterDict()
        self.adopt(backbone.head())  # a head that no pretraining has seen always trains
        self.register_load_state_dict_post_hook(lambda method, keys: backbone.masters.round_into_model())

    def adopt(self, named_parameters: Iterable[tuple[str, nn.Parameter]]) -> None:
        """Trains tensors of the backbone itself, such as its top blocks, in fp32 whatever the backbone's dtype."""
        for name, parameter in named_parameters:
            self.adopted[name.replace(".", "/")] = self.backbone.adopt(parameter)

    @property
    def shares_batches(self) -> bool:
        """Whether its examples can stand in one batch with those of other methods: no weight of the backbone changes.

        A classification head is no weight that others read: each backbone that shares weights has its own. The form
        mask is answered by a head of words, in a batch of its own.
        """
        heads = {id(self.backbone.adopt(p)) for _, p in self.backbone.head()}
        return self.backbone.form != "mask" and all(id(p) in heads for p in self.adopted.values())

    def inputs(self, batch: Batch) -> Batch:
        """What the backbone reads in place of `batch`; called once per batch, in training and in generation."""
        return batch

    def extra_loss(self, batch: Batch) -> Tensor | float:
        """A term that training adds to the loss of a batch, summed over its rows as the loss is."""
        return 0.0

    def param_groups(self) -> list[dict]:
        """The optimizer's groups of parameters, each with its own learning rate."""
        return [{"params": list(self.parameters()), "lr": self.lr}]

    def start_from(self, stored: Mapping[str, Tensor]) -> None:
        """Starts from what another run of this method stored; raises ValueError where names or shapes differ."""
        own = self.state_dict()
        shapes = [{name: tensor.shape for name, tensor in state.items()} for state in (own, stored)]
        if shapes[0] != shapes[1]:
            raise ValueError(
                f"the stored tensors are {describe_shapes(stored)} and the method has {describe_shapes(own)}; take a "
                "run of the same sizes"
            )
        self.load_state_dict(stored)

    def export(self) -> tuple[dict, dict[str, Tensor]] | None:
        """Settings and tensors of an HF peft adapter that does the same, after `fold`; None where there is none."""
        return None

    def fold(self) -> None:
        """Drops, after training, what only training needs. Predictions stay the same."""
