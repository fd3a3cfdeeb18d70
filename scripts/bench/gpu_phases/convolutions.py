"""The phase "convolutions": the rate of every convolution of the encoders alone, which is the ceiling of an evaluation.

An evaluation computes each convolution and its gradient with respect to its input; the weights are frozen.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import cache, partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gpu_phases import subjects
from gpu_phases.setting import Row, Setting, attempt
from gpu_phases.timing import measure_device

BATCHES = (1, 8)


@dataclass(frozen=True, slots=True)
class ConvShape:
    """One convolution: B images of (`height`, `width`) px with `channels_in`, 3x3 or another square kernel."""

    batch: int
    channels_in: int
    channels_out: int
    height: int
    width: int
    kernel: int
    padding: int

    @property
    def flops(self) -> int:
        """Floating-point operations of one pass, a multiplication and an addition each; its gradient has as many."""
        positions = (self.height + 2 * self.padding - self.kernel + 1) * (
            self.width + 2 * self.padding - self.kernel + 1
        )
        return 2 * self.batch * self.channels_out * self.channels_in * self.kernel**2 * positions


def conv_shapes(network: Any, batch: int, size: tuple[int, int]) -> list[ConvShape]:
    """The convolutions of one forward pass of `network` to `LAYERS`. Moves the network to the device "meta"."""
    found: list[ConvShape] = []

    def note(module: nn.Module, arguments: tuple[Tensor, ...], _output: Tensor) -> None:
        assert isinstance(module, nn.Conv2d)
        count, channels, height, width = arguments[0].shape
        kernel, padding = module.kernel_size[0], int(module.padding[0])
        found.append(ConvShape(count, channels, module.out_channels, height, width, kernel, padding))

    hooks = [module.register_forward_hook(note) for module in network.modules() if isinstance(module, nn.Conv2d)]
    with torch.no_grad():
        network.to("meta")
        network(torch.empty(batch, 3, *size, device="meta"), subjects.LAYERS)
    for hook in hooks:
        hook.remove()
    return found


@cache
def shapes_of(name: str, batch: int, size: tuple[int, int]) -> list[ConvShape]:
    """The convolutions of the encoder called `name`, from the first to the last."""
    loaded: Any = subjects.vgg19("meta") if name == "vgg19" else subjects.encoder(name, "cpu", torch.float32)._network
    return conv_shapes(copy.deepcopy(loaded), batch, size)


def evaluation_flops(name: str, batch: int, size: tuple[int, int]) -> int:
    """Floating-point operations of all convolutions in one evaluation, forward and backward."""
    return sum(2 * shape.flops for shape in shapes_of(name, batch, size))


def rows(setting: Setting) -> Iterator[Row]:
    """Milliseconds and TFLOP/s of every convolution in bfloat16, forward and for its gradient."""
    torch.backends.cudnn.benchmark = True
    for batch in BATCHES[:1] if setting.small else BATCHES:
        for name in subjects.ENCODERS:
            for position, shape in enumerate(shapes_of(name, batch, setting.size)):
                facts = {"encoder": name, "convolution": position + 1, **asdict(shape), "gflop": shape.flops / 1e9}
                yield attempt(facts, partial(_rates, shape, setting.device))


def _rates(shape: ConvShape, device: str) -> Row:
    found: Row = {}
    for name, run in _passes(shape, device).items():
        timed = measure_device(run, device)
        found[f"{name}_ms"] = timed["ms"]
        found[f"{name}_tflops"] = round(shape.flops / timed["ms"] / 1e9, 3)
    return found


def _passes(shape: ConvShape, device: str) -> dict[str, Callable[[], Tensor]]:
    """The forward pass and the gradient of the input, bfloat16 and channels-last."""
    options = {"device": device, "dtype": torch.bfloat16}
    layout = torch.channels_last
    images = torch.randn(shape.batch, shape.channels_in, shape.height, shape.width, **options)  # type: ignore[call-overload]
    images = images.contiguous(memory_format=layout)
    weights = torch.randn(shape.channels_out, shape.channels_in, shape.kernel, shape.kernel, **options) / 10  # type: ignore[call-overload]
    weights = weights.contiguous(memory_format=layout)
    gradient = torch.randn_like(F.conv2d(images, weights, padding=shape.padding))

    def backward() -> Tensor:
        pad = [shape.padding] * 2
        arguments = (gradient, images, weights, None, [1, 1], pad, [1, 1], False, [0, 0], 1, [True, False, False])
        found: Tensor = torch.ops.aten.convolution_backward(*arguments)[0]
        return found

    return {"forward": lambda: F.conv2d(images, weights, padding=shape.padding), "gradient": backward}


def ceiling_ms(measured: list[Row], name: str, batch: int, size: tuple[int, int]) -> float | None:
    """Milliseconds of one evaluation's convolutions at the rates measured; those of the next smaller batch measured.

    None if a convolution was not measured.
    """
    known = [row for row in measured if row["encoder"] == name and row["batch"] <= batch and "gradient_ms" in row]
    nearest = max((row["batch"] for row in known), default=0)
    times = [float(row["forward_ms"] + row["gradient_ms"]) for row in known if row["batch"] == nearest]
    return sum(times) * batch / nearest if len(times) == len(shapes_of(name, 1, size)) else None
