"""PyTorch's side of `benchmarks.speed.training`: the DCGAN of its tutorial, eagerly, channels last.

Sides
-----
torch
    The loop of PyTorch's DCGAN tutorial: real and generated images one after the other through the
    discriminator, one generated batch for both players.
torch-same
    The same with the shortcuts that augan takes: fused Adam, no gradient by the discriminator's
    weights while the generator learns, and where nothing mixes the images of a batch (spectral
    normalisation) real and generated ones in one pass.
torch-bfloat16
    The second under autocast to bfloat16.
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

SIDES = ("torch", "torch-same", "torch-bfloat16")
LATENT = 64


def generator(size: int, channels: int, width: int) -> nn.Module:
    """Return noise `[N, 64, 1, 1]` -> images `[N, C, S, S]`, augan's `dcgan` generator."""
    scales = int(math.log2(size // 4))
    wide = [width << i for i in reversed(range(scales))]
    start = size >> scales
    layers: list[nn.Module] = [
        nn.ConvTranspose2d(LATENT, wide[0], start, bias=False),
        nn.BatchNorm2d(wide[0]),
        nn.ReLU(inplace=True),
    ]
    for into, out in pairwise(wide):
        layers += [nn.ConvTranspose2d(into, out, 4, 2, 1, bias=False), nn.BatchNorm2d(out)]
        layers.append(nn.ReLU(inplace=True))
    return nn.Sequential(*layers, nn.ConvTranspose2d(wide[-1], channels, 4, 2, 1), nn.Tanh())


def discriminator(size: int, channels: int, width: int, norm: str) -> nn.Module:
    """Return images -> logits, augan's `dcgan` discriminator with batch or spectral norm."""
    scales = int(math.log2(size // 4))
    wide = [channels, *(width << i for i in range(scales))]
    layers: list[nn.Module] = []
    for i, (into, out) in enumerate(pairwise(wide)):
        layer: nn.Module = nn.Conv2d(into, out, 4, 2, 1)
        layers.append(spectral_norm(layer) if norm == "spectral" else layer)
        if i and norm == "batch":
            layers.append(nn.BatchNorm2d(out))
        layers.append(nn.LeakyReLU(0.2, inplace=True))
    start = size >> scales
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(wide[-1] * start * start, 1))


class Rival:
    """Both networks, their optimisers and one update of the tutorial's loop."""

    def __init__(self, size: int, channels: int, width: int, norm: str, side: str) -> None:
        torch.manual_seed(0)
        torch.set_flush_denormal(True)  # as TensorFlow does
        last = torch.channels_last
        self.draws = generator(size, channels, width).to(memory_format=last)
        self.judge = discriminator(size, channels, width, norm).to(memory_format=last)
        self.shape, self.norm, self.plain = (channels, size, size), norm, side == "torch"
        fused = {} if self.plain else {"fused": True}
        self.adams = [
            torch.optim.Adam(network.parameters(), 2e-4, (0.5, 0.999), **fused)
            for network in (self.draws, self.judge)
        ]
        self.autocast = torch.autocast("cpu", torch.bfloat16, side == "torch-bfloat16")

    def about(self) -> dict[str, Any]:
        """Return parameters and forward arithmetic of both networks, as PyTorch counts them."""
        inputs = torch.zeros(1, LATENT, 1, 1), torch.zeros(1, *self.shape)
        flops = []
        for network, one in zip((self.draws, self.judge), inputs):
            with FlopCounterMode(display=False) as counter, torch.no_grad():
                network.eval()(one)
            network.train()
            flops.append(counter.get_total_flops())
        sizes = [sum(p.numel() for p in n.parameters()) for n in (self.draws, self.judge)]
        return {"parameters": sizes, "flops": flops, "version": torch.__version__}

    def step(self, real: torch.Tensor) -> None:
        """Update the discriminator and the generator once."""
        noise = torch.randn(len(real), LATENT, 1, 1)
        with self.autocast:
            fake = self.draws(noise)
        self._update_judge(real, fake)
        self._update_generator(fake)

    def _update_judge(self, real: torch.Tensor, fake: torch.Tensor) -> None:
        self.judge.zero_grad()
        if self.plain or self.norm == "batch":
            self._d_loss(self._judged(real), real=True).backward()
            self._d_loss(self._judged(fake.detach()), real=False).backward()
        else:
            logits = self._judged(torch.cat([real, fake.detach()])).split(len(real))
            losses = [self._d_loss(part, real=not i) for i, part in enumerate(logits)]
            sum(losses).backward()
        self.adams[1].step()

    def _update_generator(self, fake: torch.Tensor) -> None:
        self.draws.zero_grad()
        if not self.plain:
            self.judge.requires_grad_(False)
        self._g_loss(self._judged(fake)).backward()
        self.judge.requires_grad_(True)
        self.adams[0].step()

    def _judged(self, images: torch.Tensor) -> torch.Tensor:
        with self.autocast:
            return self.judge(images).float()

    def _d_loss(self, logits: torch.Tensor, *, real: bool) -> torch.Tensor:
        sign = -1.0 if real else 1.0
        if self.norm == "batch":
            return functional.softplus(sign * logits).mean()  # cross entropy, as in the tutorial
        return functional.relu(1 + sign * logits).mean()

    def _g_loss(self, logits: torch.Tensor) -> torch.Tensor:
        return functional.softplus(-logits).mean() if self.norm == "batch" else -logits.mean()


def updates(rival: Rival, batches: Batches, steps: int) -> Callable[[], None]:
    """Return a function that goes on for `steps` updates, on batches as augan's loop takes them."""
    done = 0

    def work() -> None:
        nonlocal done
        images, _ = batches.chunk(done, steps)
        for batch in images:
            # Height, width and channels stay where they are: a view, and channels last already.
            rival.step(torch.from_numpy(batch).permute(0, 3, 1, 2))
        done += steps

    return work


def products(side: int, times: int) -> Callable[[], None]:
    """Return a function that multiplies two square matrices `times` times."""
    rng = np.random.default_rng(0)
    one, other = (torch.from_numpy(rng.random((side, side), np.float32)) for _ in range(2))

    def work() -> None:
        for _ in range(times):
            one @ other

    return work
