"""Several processes, one training, as `accelerate launch` (GPUs) or `torchrun` (CPUs too) start them.

Every process begins with the same weights and takes the same steps, on gradients that are averaged
over all: a step of two processes is a step of one with twice the batch. Torch's
DistributedDataParallel is not used: some steps train the base without its adapters, and DDP has to look
for unused weights at every step.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from datetime import timedelta

import torch
from accelerate import Accelerator, PartialState
from accelerate.state import AcceleratorState
from accelerate.utils import DistributedType
from torch import nn

from ...device import mixed_precision
from ...errors import InputError
from ..base import UNet

# One process may encode or draw samples for long while the others wait.
PATIENCE = timedelta(days=2)


def join_processes() -> PartialState:
    """Meet the other processes, if there are any; called again it answers the same."""
    return PartialState(cpu=_on_cpu(), timeout=PATIENCE)


def _on_cpu() -> bool:
    # Accelerate has to be told that processes without GPUs belong together.
    return "LOCAL_RANK" in os.environ and not torch.cuda.is_available()


def start_processes(precision: str) -> Accelerator:
    """Join the other processes, if there are any, to train with them.

    Args:
        precision: "auto", "no", "bf16" or "fp16", see `device.mixed_precision`.

    Raises:
        InputError: the precision is unknown, or accelerate is configured for another kind of work.
    """
    chosen = mixed_precision(precision)
    join_processes()
    # Accelerate keeps the first precision of a Python process and refuses another; a training has its own.
    AcceleratorState._reset_state()
    accelerator = Accelerator(mixed_precision=chosen, cpu=_on_cpu())
    if accelerator.distributed_type in (
        DistributedType.FSDP,
        DistributedType.DEEPSPEED,
        DistributedType.MEGATRON_LM,
    ):
        raise InputError(
            f"accelerate is configured for {accelerator.distributed_type.value}, which splits what is "
            "trained: launch plain data parallel processes, and add --shard-base to split the frozen base"
        )
    return accelerator


@torch.no_grad()
def average_gradients(parameters: Sequence[nn.Parameter], accelerator: Accelerator) -> None:
    """Replace gradients by their mean over the processes; a missing one counts as zeros.

    A parameter without a gradient in any process keeps none.
    """
    if accelerator.num_processes == 1:
        return
    there = torch.tensor([p.grad is not None for p in parameters], device=accelerator.device)
    used = accelerator.reduce(there.float(), "sum").bool().tolist()
    shared = [p for p, any_has in zip(parameters, used, strict=True) if any_has]
    for parameter in shared:
        if parameter.grad is None:
            parameter.grad = torch.zeros_like(parameter)
    flat = torch.cat([p.grad.flatten() for p in shared if p.grad is not None])
    flat = accelerator.reduce(flat, "mean")
    sizes = [p.numel() for p in shared]
    for parameter, mean in zip(shared, flat.split(sizes), strict=True):
        parameter.grad = mean.view_as(parameter)


class AgreedCancel(threading.Event):
    """A cancel flag that is set for all processes as soon as it is set for one.

    Every process has to ask equally often, as `Job.steps` does.
    """

    def __init__(self, own: threading.Event, accelerator: Accelerator) -> None:
        super().__init__()
        self.own, self.accelerator = own, accelerator

    def is_set(self) -> bool:
        mine = torch.tensor([float(self.own.is_set())], device=self.accelerator.device)
        return bool(self.accelerator.reduce(mine, "sum") > 0)


def shard_base(unet: UNet, accelerator: Accelerator) -> None:
    """Split a frozen UNet's weights among the processes (FSDP): each block is whole only while it works.

    Raises:
        InputError: there is one process only.
    """
    from torch.distributed import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    if accelerator.num_processes == 1:
        raise InputError("--shard-base splits the base among processes: start several with accelerate launch")
    unet.to(accelerator.device)
    mesh = init_device_mesh(accelerator.device.type, (accelerator.num_processes,))
    for block in (*unet.down_blocks, unet.mid_block, *unet.up_blocks):
        fully_shard(block, mesh=mesh)
    fully_shard(unet, mesh=mesh)
