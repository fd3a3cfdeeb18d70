"""The phase "convolutions": the rate of every convolution of the encoders alone, which is the ceiling of an evaluation.

An evaluation computes each convolution and its gradient with respect to its input; the weights are frozen.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import cache, partial

import torch
import torch.nn.functional as F
from torch import Tensor

from gpu_phases import subjects
from gpu_phases.setting import Row, Setting, attempt
from gpu_phases.timing import measure_device
from pipeline.encoders.steps import Convolution, Mirror, Pool, Steps

BATCHES = (1, 8)


@dataclass(frozen=True, slots=True)
class ConvShape:
    """One convolution with a square kernel of B maps of (`height`, `width`) px; `padding` is that of zeros."""

    batch: int
    channels_in: int
    channels_out: int
    height: int
    width: int
    kernel: int
    padding: int

    @property
    def size_out(self) -> tuple[int, int]:
        """(height, width) of the result, px."""
        missing = self.kernel - 1 - 2 * self.padding
        return self.height - missing, self.width - missing

    @property
    def flops(self) -> int:
        """Floating-point operations, a multiplication and an addition each; its gradient has as many."""
        height, width = self.size_out
        return 2 * self.batch * self.channels_out * self.channels_in * self.kernel**2 * height * width


def conv_shapes(network: Steps, batch: int, size: tuple[int, int]) -> list[ConvShape]:
    """The convolutions of one forward pass to `LAYERS`, from the first to the last."""
    found: list[ConvShape] = []
    height, width = size
    for step in network.until(subjects.LAYERS):
        if isinstance(step, Mirror):
            height, width = height + 2 * step.margin, width + 2 * step.margin
        elif isinstance(step, Pool):
            height, width = height // 2, width // 2
        elif isinstance(step, Convolution):
            channels_out, channels_in, kernel, _ = step.weight.shape
            found.append(ConvShape(batch, channels_in, channels_out, height, width, kernel, step.padding))
            height, width = found[-1].size_out
    return found


@cache
def shapes_of(name: str, device: str, batch: int, size: tuple[int, int]) -> list[ConvShape]:
    """The convolutions of an encoder as they are on a device, where their channels may be padded."""
    network = subjects.encoder(name, device, torch.bfloat16)._network
    assert isinstance(network, Steps)
    return conv_shapes(network, batch, size)


def evaluation_flops(name: str, batch: int, size: tuple[int, int]) -> int:
    """Floating-point operations of all convolutions in one evaluation, forward and backward; padded channels apart."""
    return sum(2 * shape.flops for shape in shapes_of(name, "cpu", batch, size))


def rows(setting: Setting) -> Iterator[Row]:
    """Milliseconds and TFLOP/s of every convolution in bfloat16, forward and for its gradient.

    The gradient is computed in two ways: as a convolution with the reversed weights, and by the library's own function.
    """
    torch.backends.cudnn.benchmark = True
    for batch in BATCHES[:1] if setting.small else BATCHES:
        for name in subjects.ENCODERS:
            for position, shape in enumerate(shapes_of(name, setting.device, batch, setting.size)):
                gflop = round(shape.flops / 1e9, 3)
                facts = {"encoder": name, "convolution": position + 1, **asdict(shape), "gflop": gflop}
                yield attempt(facts, partial(_rates, shape, setting.device))


def _rates(shape: ConvShape, device: str) -> Row:
    found: Row = {}
    for name, run in _passes(shape, device).items():
        timed = measure_device(run, device)
        found[f"{name}_ms"] = timed["ms"]
        found[f"{name}_tflops"] = round(shape.flops / timed["ms"] / 1e9, 3)
    return found


def _passes(shape: ConvShape, device: str) -> dict[str, Callable[[], Tensor]]:
    """The forward pass and both ways to the gradient of the input, bfloat16 and channels-last."""
    images = _random(device, shape.batch, shape.channels_in, shape.height, shape.width)
    weights = _random(device, shape.channels_out, shape.channels_in, shape.kernel, shape.kernel)
    reverse = weights.flip(2, 3).transpose(0, 1).contiguous(memory_format=torch.channels_last)
    gradient = _random(device, shape.batch, shape.channels_out, *shape.size_out)
    border = shape.kernel - 1 - shape.padding
    bordered = F.pad(gradient, (border,) * 4)
    pads = [shape.padding] * 2

    def library() -> Tensor:
        arguments = (gradient, images, weights, None, [1, 1], pads, [1, 1], False, [0, 0], 1, [True, False, False])
        found: Tensor = torch.ops.aten.convolution_backward(*arguments)[0]
        return found

    return {
        "forward": lambda: F.conv2d(images, weights, padding=shape.padding),
        "gradient": lambda: F.conv2d(bordered, reverse),
        "library_gradient": library,
    }


def _random(device: str, *shape: int) -> Tensor:
    return torch.randn(shape, device=device).to(torch.bfloat16).contiguous(memory_format=torch.channels_last)


def ceiling_ms(measured: list[Row], name: str, count: int, batch: int) -> float | None:
    """Milliseconds of one evaluation's `count` convolutions at the rates measured at the nearest smaller batch.

    Of the gradients the faster ones. None if a convolution was not measured.
    """
    known = [row for row in measured if row["encoder"] == name and row["batch"] <= batch and "forward_ms" in row]
    nearest = max((row["batch"] for row in known), default=0)
    times = [
        float(row["forward_ms"] + min(row["gradient_ms"], row["library_gradient_ms"]))
        for row in known
        if row["batch"] == nearest
    ]
    return sum(times) * batch / nearest if len(times) == count > 0 else None
