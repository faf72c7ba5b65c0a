"""Contestants of the training speed benchmark in PyTorch: eager mode, channels last.

Contestants
-----------
torch
    The loop of PyTorch's DCGAN tutorial: real and generated images pass through the discriminator
    one after the other, and both networks use the same generated batch.
torch-same
    The same with the optimizations of augan: fused Adam, no gradients of the discriminator's
    weights in the update of the generator, and, with spectral normalization, real and generated
    images in one pass.
torch-bfloat16
    `torch-same` under autocast to bfloat16.
"""

import math
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional
from torch.nn.utils.parametrizations import spectral_norm
from torch.utils.flop_counter import FlopCounterMode

from augan.training.batches import Batches

CONTESTANTS = ("torch", "torch-same", "torch-bfloat16")
LATENT = 64


def generator(size: int, channels: int, width: int) -> nn.Module:
    """Return noise `[N, 64, 1, 1]` -> images `[N, C, S, S]`, augan's `dcgan` generator."""
    scales = int(math.log2(size // 4))
    widths = [width << i for i in reversed(range(scales))]
    start = size >> scales
    layers: list[nn.Module] = [
        nn.ConvTranspose2d(LATENT, widths[0], start, bias=False),
        nn.BatchNorm2d(widths[0]),
        nn.ReLU(inplace=True),
    ]
    for into, out in pairwise(widths):
        layers += [nn.ConvTranspose2d(into, out, 4, 2, 1, bias=False), nn.BatchNorm2d(out)]
        layers.append(nn.ReLU(inplace=True))
    return nn.Sequential(*layers, nn.ConvTranspose2d(widths[-1], channels, 4, 2, 1), nn.Tanh())


def discriminator(size: int, channels: int, width: int, norm: str) -> nn.Module:
    """Return images -> logits, augan's `dcgan` discriminator with batch or spectral norm."""
    scales = int(math.log2(size // 4))
    widths = [channels, *(width << i for i in range(scales))]
    layers: list[nn.Module] = []
    for i, (into, out) in enumerate(pairwise(widths)):
        layer: nn.Module = nn.Conv2d(into, out, 4, 2, 1)
        layers.append(spectral_norm(layer) if norm == "spectral" else layer)
        if i and norm == "batch":
            layers.append(nn.BatchNorm2d(out))
        layers.append(nn.LeakyReLU(0.2, inplace=True))
    start = size >> scales
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(widths[-1] * start * start, 1))


class TorchGan:
    """Both networks, their optimizers, and an update of the tutorial's loop."""

    def __init__(self, size: int, channels: int, width: int, norm: str, contestant: str) -> None:
        torch.manual_seed(0)
        torch.set_flush_denormal(True)  # as TensorFlow does
        memory_format = torch.channels_last
        self.generator = generator(size, channels, width).to(memory_format=memory_format)
        self.discriminator = discriminator(size, channels, width, norm).to(
            memory_format=memory_format
        )
        self.shape, self.norm, self.is_tutorial = (
            (channels, size, size),
            norm,
            contestant == "torch",
        )
        fused = {} if self.is_tutorial else {"fused": True}
        self.optimizers = [
            torch.optim.Adam(network.parameters(), 2e-4, (0.5, 0.999), **fused)
            for network in (self.generator, self.discriminator)
        ]
        self.autocast = torch.autocast("cpu", torch.bfloat16, contestant == "torch-bfloat16")

    def describe(self) -> dict[str, Any]:
        """Return the parameters and the operations of a forward pass, as counted by PyTorch."""
        inputs = torch.zeros(1, LATENT, 1, 1), torch.zeros(1, *self.shape)
        flops = []
        for network, example in zip((self.generator, self.discriminator), inputs):
            with FlopCounterMode(display=False) as counter, torch.no_grad():
                network.eval()(example)
            network.train()
            flops.append(counter.get_total_flops())
        sizes = [
            sum(p.numel() for p in n.parameters()) for n in (self.generator, self.discriminator)
        ]
        return {"parameters": sizes, "flops": flops, "version": torch.__version__}

    def step(self, real: torch.Tensor) -> None:
        """Update the discriminator and the generator once."""
        noise = torch.randn(len(real), LATENT, 1, 1)
        with self.autocast:
            fake = self.generator(noise)
        self._update_discriminator(real, fake)
        self._update_generator(fake)

    def _update_discriminator(self, real: torch.Tensor, fake: torch.Tensor) -> None:
        self.discriminator.zero_grad()
        if self.is_tutorial or self.norm == "batch":
            self._d_loss(self._logits(real), real=True).backward()
            self._d_loss(self._logits(fake.detach()), real=False).backward()
        else:
            logits = self._logits(torch.cat([real, fake.detach()])).split(len(real))
            losses = [self._d_loss(half, real=not i) for i, half in enumerate(logits)]
            sum(losses).backward()
        self.optimizers[1].step()

    def _update_generator(self, fake: torch.Tensor) -> None:
        self.generator.zero_grad()
        if not self.is_tutorial:
            self.discriminator.requires_grad_(False)
        self._g_loss(self._logits(fake)).backward()
        self.discriminator.requires_grad_(True)
        self.optimizers[0].step()

    def _logits(self, images: torch.Tensor) -> torch.Tensor:
        with self.autocast:
            return self.discriminator(images).float()

    def _d_loss(self, logits: torch.Tensor, *, real: bool) -> torch.Tensor:
        sign = -1.0 if real else 1.0
        if self.norm == "batch":
            return functional.softplus(sign * logits).mean()  # cross-entropy, as in the tutorial
        return functional.relu(1 + sign * logits).mean()

    def _g_loss(self, logits: torch.Tensor) -> torch.Tensor:
        return functional.softplus(-logits).mean() if self.norm == "batch" else -logits.mean()


def make_updates(gan: TorchGan, batches: Batches, steps: int) -> Callable[[], None]:
    """Return a function that takes the next `steps` updates, on the batches of augan."""
    done = 0

    def work() -> None:
        nonlocal done
        images, _ = batches.chunk(done, steps)
        for batch in images:
            # The permuted view has channels last without a copy.
            gan.step(torch.from_numpy(batch).permute(0, 3, 1, 2))
        done += steps

    return work


def make_products(size: int, times: int) -> Callable[[], None]:
    """Return a function that multiplies two square matrices `times` times."""
    rng = np.random.default_rng(0)
    one, other = (torch.from_numpy(rng.random((size, size), np.float32)) for _ in range(2))

    def work() -> None:
        for _ in range(times):
            one @ other

    return work
