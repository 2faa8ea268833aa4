"""InceptionResnetV1 for faces: 160 x 160 pixels become 512 numbers of unit length.

Owns the network (Szegedy et al. 2016, in the variant with 5, 10 and 5 residual blocks that is trained on VGGFace2),
loading its weights and running it. Names and shapes of the state are those of facenet-pytorch's public weights. They
were checked by the number of parameters, 23,482,624 without the classifier, and against that project's published list
of layers; the weights themselves were not at hand. Refuses weights with a missing, unknown, misshaped or non-finite
entry, by name; the classifier `logits`, which features do not need, is left out.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from affect.data.draft import Array
from affect.data.drawing import draw_face
from affect.errors import DataError

SIDE = 160
WIDTH = 512
_OPTIONAL = "num_batches_tracked"  # counted in training; plays no part in features
_MANY = 5


class InceptionResnetV1(nn.Module):
    """(N, 3, 160, 160), standardised -> (N, 512) of unit length. `part` divides the channels inside, for tests."""

    def __init__(self, part: int = 1) -> None:
        super().__init__()
        n = [width // part for width in (32, 64, 80, 192, 256, 896, 1792)]
        self.conv2d_1a = Conv(3, n[0], 3, stride=2)
        self.conv2d_2a = Conv(n[0], n[0], 3)
        self.conv2d_2b = Conv(n[0], n[1], 3, same=True)
        self.maxpool_3a = nn.MaxPool2d(3, stride=2)
        self.conv2d_3b = Conv(n[1], n[2], 1)
        self.conv2d_4a = Conv(n[2], n[3], 3)
        self.conv2d_4b = Conv(n[3], n[4], 3, stride=2)
        self.repeat_1 = nn.Sequential(*(_block35(part) for _ in range(5)))
        self.mixed_6a = _mixed_6a(part)
        self.repeat_2 = nn.Sequential(*(_block17(part) for _ in range(10)))
        self.mixed_7a = _mixed_7a(part)
        self.repeat_3 = nn.Sequential(*(_block8(part, 0.20, relu=True) for _ in range(5)))
        self.block8 = _block8(part, 1.0, relu=False)
        self.last_linear = nn.Linear(n[6], WIDTH, bias=False)
        self.last_bn = nn.BatchNorm1d(WIDTH, eps=0.001)

    def forward(self, faces: Tensor) -> Tensor:
        x = self.conv2d_2b(self.conv2d_2a(self.conv2d_1a(faces)))  # (N, 64, 77, 77)
        x = self.conv2d_4b(self.conv2d_4a(self.conv2d_3b(self.maxpool_3a(x))))  # (N, 256, 17, 17)
        x = self.mixed_6a(self.repeat_1(x))  # (N, 896, 8, 8)
        x = self.mixed_7a(self.repeat_2(x))  # (N, 1792, 3, 3)
        x = self.block8(self.repeat_3(x)).mean(dim=(2, 3))  # (N, 1792)
        return nn.functional.normalize(self.last_bn(self.last_linear(x)), dim=1)  # (N, 512)


def load(path: Path) -> InceptionResnetV1:
    """The network with weights from a .safetensors file, or from a .pt file of tensors."""
    if not path.is_file():
        raise DataError(
            f"there are no weights at {path}: get facenet-pytorch's InceptionResnetV1 weights for vggface2 "
            "(20180402-114759-vggface2.pt) from that project, and convert them to safetensors"
        )
    state = {name: value for name, value in _read(path).items() if not name.startswith("logits.")}
    network = InceptionResnetV1()
    _check(path, state, network.state_dict())
    network.load_state_dict(state, strict=False)
    return network.eval()


def tiny(seed: int = 0) -> InceptionResnetV1:
    """The same network an eighth as wide, with random weights: features that tell faces apart, and no more.

    Its batch norms are those of a few drawn faces; without that, all faces come out nearly alike.
    """
    generator = torch.Generator().manual_seed(seed)
    with torch.random.fork_rng(devices=[]):  # building draws numbers too, which are not used
        network = InceptionResnetV1(part=8)
    for module in network.modules():
        if isinstance(module, (nn.Conv2d, nn.Linear)):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu", generator=generator)
        if isinstance(module, nn.Conv2d) and module.bias is not None:
            nn.init.zeros_(module.bias)
        if isinstance(module, (nn.BatchNorm1d, nn.BatchNorm2d)):
            module.momentum = 1.0  # keep what the next batch has
    drawn = [draw_face(SIDE, smile, brows=brows) for smile in (-1, -0.3, 0.3, 1) for brows in (-1, 0, 1)]
    with torch.no_grad():
        network.train()(_standardised(np.stack(drawn), "cpu"))
    return network.eval()


def digest(network: nn.Module) -> str:
    """The SHA-256 of all weights, with their names."""
    found = hashlib.sha256()
    for name, value in network.state_dict().items():
        found.update(name.encode())
        found.update(value.cpu().contiguous().numpy().tobytes())
    return found.hexdigest()


def embed(network: nn.Module, faces: Array, batch: int = 32, device: str = "cpu") -> Array:
    """Features (N, 512) of faces (N, 160, 160, 3) in RGB from 0 to 255."""
    if faces.shape[1:] != (SIDE, SIDE, 3):
        raise ValueError(f"faces of shape {faces.shape} are not (N, {SIDE}, {SIDE}, 3)")
    network = network.to(device).eval()
    rows = [np.empty((0, WIDTH), np.float32)]
    exact = torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False)
    with torch.inference_mode(), exact:
        for start in range(0, len(faces), batch):
            rows.append(network(_standardised(faces[start : start + batch], device)).cpu().numpy())
    return np.concatenate(rows)


def _standardised(faces: Array, device: str) -> Tensor:
    pixels = torch.tensor(faces, dtype=torch.float32, device=device)
    return ((pixels - 127.5) / 128.0).permute(0, 3, 1, 2)  # (N, 3, 160, 160)


# layers


class Conv(nn.Module):
    """A convolution without bias, batch norm and ReLU. `same` keeps height and width."""

    def __init__(
        self, inputs: int, outputs: int, size: int | tuple[int, int], stride: int = 1, same: bool = False
    ) -> None:
        super().__init__()
        height, width = (size, size) if isinstance(size, int) else size
        padding = (height // 2, width // 2) if same else (0, 0)
        self.conv = nn.Conv2d(inputs, outputs, (height, width), stride, padding, bias=False)
        self.bn = nn.BatchNorm2d(outputs, eps=0.001)

    def forward(self, x: Tensor) -> Tensor:
        return nn.functional.relu(self.bn(self.conv(x)))


class Joined(nn.Module):
    """Branches side by side, their channels one after the other."""

    def __init__(self, *branches: nn.Module) -> None:
        super().__init__()
        for number, branch in enumerate(branches):
            self.add_module(f"branch{number}", branch)

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([branch(x) for name, branch in self.named_children() if name.startswith("branch")], dim=1)


class Residual(Joined):
    """x + scale * (a 1 x 1 convolution of the branches), and ReLU unless it is left out."""

    def __init__(self, scale: float, relu: bool, joined: int, width: int, *branches: nn.Module) -> None:
        super().__init__(*branches)
        self.conv2d = nn.Conv2d(joined, width, 1)
        self.scale, self.relu = scale, relu

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.scale * self.conv2d(super().forward(x))
        return nn.functional.relu(x) if self.relu else x


def _chain(part: int, *widths: int, sizes: tuple[Any, ...], last_stride: int = 1) -> nn.Sequential:
    """Convolutions one after the other; those that are not strided keep height and width."""
    steps = list(zip(widths[:-1], widths[1:], sizes, strict=True))
    strides = [1] * (len(steps) - 1) + [last_stride]
    return nn.Sequential(
        *(
            Conv(a // part, b // part, size, stride, same=stride == 1)
            for (a, b, size), stride in zip(steps, strides, strict=True)
        )
    )


def _block35(part: int) -> Residual:
    return Residual(
        0.17, True, 96 // part, 256 // part,
        Conv(256 // part, 32 // part, 1),
        _chain(part, 256, 32, 32, sizes=(1, 3)),
        _chain(part, 256, 32, 32, 32, sizes=(1, 3, 3)),
    )  # fmt: skip


def _block17(part: int) -> Residual:
    return Residual(
        0.10, True, 256 // part, 896 // part,
        Conv(896 // part, 128 // part, 1),
        _chain(part, 896, 128, 128, 128, sizes=(1, (1, 7), (7, 1))),
    )  # fmt: skip


def _block8(part: int, scale: float, relu: bool) -> Residual:
    return Residual(
        scale, relu, 384 // part, 1792 // part,
        Conv(1792 // part, 192 // part, 1),
        _chain(part, 1792, 192, 192, 192, sizes=(1, (1, 3), (3, 1))),
    )  # fmt: skip


def _mixed_6a(part: int) -> Joined:
    return Joined(
        Conv(256 // part, 384 // part, 3, stride=2),
        _chain(part, 256, 192, 192, 256, sizes=(1, 3, 3), last_stride=2),
        nn.MaxPool2d(3, stride=2),
    )


def _mixed_7a(part: int) -> Joined:
    return Joined(
        _chain(part, 896, 256, 384, sizes=(1, 3), last_stride=2),
        _chain(part, 896, 256, 256, sizes=(1, 3), last_stride=2),
        _chain(part, 896, 256, 256, 256, sizes=(1, 3, 3), last_stride=2),
        nn.MaxPool2d(3, stride=2),
    )


# weights


def _read(path: Path) -> dict[str, Tensor]:
    import pickle

    import safetensors
    import safetensors.torch

    try:
        if path.suffix == ".safetensors":
            state: Any = safetensors.torch.load_file(path)
        else:
            state = torch.load(path, map_location="cpu", weights_only=True)
    except (safetensors.SafetensorError, pickle.UnpicklingError, RuntimeError, ValueError, EOFError, KeyError) as error:
        told = (str(error).splitlines() or ["it ends too early"])[0]
        raise DataError(f"{path} cannot be read as weights: {told}") from error
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise DataError(f"{path} is no list of tensors by name; save the state_dict of the network")
    return {str(name): value for name, value in state.items()}


def _check(path: Path, given: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> None:
    wrong = list(_wrong(given, wanted))
    if wrong:
        more = f", and {len(wrong) - _MANY} more" if len(wrong) > _MANY else ""
        raise DataError(f"{path} does not fit InceptionResnetV1: {', '.join(wrong[:_MANY])}{more}")


def _wrong(given: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> Iterator[str]:
    yield from (f"`{name}` is missing" for name in wanted if name not in given and not name.endswith(_OPTIONAL))
    for name, value in given.items():
        if name not in wanted:
            yield f"`{name}` is unknown"
        elif value.shape != wanted[name].shape:
            yield f"`{name}` is {tuple(value.shape)}, not {tuple(wanted[name].shape)}"
        elif value.is_floating_point() != wanted[name].is_floating_point() or not value.isfinite().all():
            yield f"`{name}` holds what is no finite number"
