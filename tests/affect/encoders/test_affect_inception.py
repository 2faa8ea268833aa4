"""The face network: its layout is that of the public weights, and weights that do not fit are told by name."""

from __future__ import annotations

import functools
import os
from pathlib import Path

import numpy as np
import pytest

from affect.data.drawing import draw_face
from affect.errors import DataError

torch = pytest.importorskip("torch")
safetensors_torch = pytest.importorskip("safetensors.torch")

from affect.encoders import inception  # noqa: E402
from affect.encoders.inception import InceptionResnetV1, digest, embed, load, tiny  # noqa: E402

PARAMETERS = 23_482_624  # of the public network without its classifier


@pytest.fixture(scope="module")
def full():
    return InceptionResnetV1().eval()


@pytest.fixture(scope="module")
def small():
    return tiny()


@pytest.fixture
def narrow(monkeypatch, small):
    """The network an eighth as wide, in the place of the full one: its files are small."""
    monkeypatch.setattr(inception, "InceptionResnetV1", functools.partial(InceptionResnetV1, part=8))
    return small


@pytest.fixture(scope="module")
def faces() -> np.ndarray:
    return np.stack([draw_face(160, smile) for smile in np.linspace(-1, 1, 9)])


# the layout


def test_the_number_of_parameters(full):
    assert sum(parameter.numel() for parameter in full.parameters()) == PARAMETERS


def test_the_number_of_parameters_by_arithmetic():
    """Counted from the paper's blocks: weights of each convolution, and two numbers a channel of its batch norm."""

    def convolution(*steps: tuple[int, int, int]) -> int:
        return sum(a * b * area + 2 * b for a, b, area in steps)

    def last(a: int, b: int) -> int:
        return a * b + b

    stem = convolution((3, 32, 9), (32, 32, 9), (32, 64, 9), (64, 80, 1), (80, 192, 9), (192, 256, 9))
    a = convolution((256, 32, 1), (256, 32, 1), (32, 32, 9), (256, 32, 1), (32, 32, 9), (32, 32, 9)) + last(96, 256)
    to_b = convolution((256, 384, 9), (256, 192, 1), (192, 192, 9), (192, 256, 9))
    b = convolution((896, 128, 1), (896, 128, 1), (128, 128, 7), (128, 128, 7)) + last(256, 896)
    to_c = convolution(
        (896, 256, 1), (256, 384, 9), (896, 256, 1), (256, 256, 9), (896, 256, 1), (256, 256, 9), (256, 256, 9)
    )
    c = convolution((1792, 192, 1), (1792, 192, 1), (192, 192, 3), (192, 192, 3)) + last(384, 1792)
    assert stem + 5 * a + to_b + 10 * b + to_c + 6 * c + 1792 * 512 + 2 * 512 == PARAMETERS


@pytest.mark.parametrize(
    "name, shape",
    [
        ("conv2d_1a.conv.weight", (32, 3, 3, 3)),
        ("conv2d_1a.bn.running_var", (32,)),
        ("conv2d_4b.conv.weight", (256, 192, 3, 3)),
        ("repeat_1.0.branch0.conv.weight", (32, 256, 1, 1)),
        ("repeat_1.4.branch2.2.conv.weight", (32, 32, 3, 3)),
        ("repeat_1.4.conv2d.bias", (256,)),
        ("mixed_6a.branch0.conv.weight", (384, 256, 3, 3)),
        ("mixed_6a.branch1.2.bn.weight", (256,)),
        ("repeat_2.9.branch1.1.conv.weight", (128, 128, 1, 7)),
        ("repeat_2.9.branch1.2.conv.weight", (128, 128, 7, 1)),
        ("mixed_7a.branch0.1.conv.weight", (384, 256, 3, 3)),
        ("mixed_7a.branch2.2.conv.weight", (256, 256, 3, 3)),
        ("repeat_3.4.conv2d.weight", (1792, 384, 1, 1)),
        ("block8.branch1.1.conv.weight", (192, 192, 1, 3)),
        ("last_linear.weight", (512, 1792)),
        ("last_bn.running_mean", (512,)),
    ],
)
def test_names_and_shapes_of_the_public_weights(full, name, shape):
    assert tuple(full.state_dict()[name].shape) == shape


def test_no_name_but_those_of_the_public_weights(full):
    state = full.state_dict()
    assert len(state) == 714
    assert "last_linear.bias" not in state and not any(name.startswith("logits") for name in state)
    assert not any("branch3" in name or "branch2" in name for name in state if name.startswith("mixed_6a"))


def test_scales_and_constants(full):
    assert {block.scale for block in full.repeat_1} == {0.17} and len(full.repeat_1) == 5
    assert {block.scale for block in full.repeat_2} == {0.10} and len(full.repeat_2) == 10
    assert {block.scale for block in full.repeat_3} == {0.20} and len(full.repeat_3) == 5
    assert full.block8.scale == 1.0 and not full.block8.relu and full.repeat_3[0].relu
    norms = [m for m in full.modules() if isinstance(m, (torch.nn.BatchNorm1d, torch.nn.BatchNorm2d))]
    assert {norm.eps for norm in norms} == {0.001}


def test_a_residual_block_adds_its_scaled_branches_to_what_came_in(full):
    block, x = full.repeat_1[2], torch.rand(1, 256, 5, 5) - 0.5
    with torch.no_grad():
        parts = [block.branch0(x), block.branch1(x), block.branch2(x)]
        expected = torch.relu(x + 0.17 * block.conv2d(torch.cat(parts, 1)))
        assert torch.allclose(block(x), expected)
        y = torch.rand(1, 1792, 3, 3) - 0.5
        assert (full.block8(y) < 0).any()  # no ReLU after the last one


def test_sizes_on_the_way(full):
    seen = {}
    for name in ("conv2d_2b", "conv2d_4b", "repeat_1", "mixed_6a", "mixed_7a", "block8"):
        getattr(full, name).register_forward_hook(
            lambda module, given, out, name=name: seen.__setitem__(name, tuple(out.shape[1:]))
        )
    embed(full, np.zeros((1, 160, 160, 3), np.uint8))
    assert seen == {
        "conv2d_2b": (64, 77, 77), "conv2d_4b": (256, 17, 17), "repeat_1": (256, 17, 17),
        "mixed_6a": (896, 8, 8), "mixed_7a": (1792, 3, 3), "block8": (1792, 3, 3),
    }  # fmt: skip


# running


def test_features_have_unit_length(small, faces):
    features = embed(small, faces)
    assert features.shape == (9, 512) and features.dtype == np.float32
    assert np.allclose(np.linalg.norm(features, axis=1), 1, atol=1e-6)


@pytest.mark.parametrize("batch", [1, 2, 4, 32])
def test_a_face_alone_is_that_face_among_many(small, faces, batch):
    many = embed(small, faces, batch)
    for i in range(len(faces)):
        assert np.abs(embed(small, faces[i : i + 1])[0] - many[i]).max() < 1e-5


def test_a_face_alone_is_that_face_among_many_in_the_full_network(full, faces):
    assert np.abs(embed(full, faces[:1]) - embed(full, faces[:4])[:1]).max() < 1e-5


def test_pixels_are_standardised(small, faces):
    with torch.no_grad():
        pixels = (torch.tensor(faces[:2]).float().permute(0, 3, 1, 2) - 127.5) / 128
        assert np.allclose(embed(small, faces[:2]), small(pixels).numpy(), atol=1e-6)


def test_no_faces_give_no_features(small):
    assert embed(small, np.empty((0, 160, 160, 3), np.uint8)).shape == (0, 512)


def test_faces_of_another_size_are_refused(small):
    with pytest.raises(ValueError, match="160"):
        embed(small, np.zeros((1, 112, 112, 3), np.uint8))


# random weights


def test_random_weights_are_those_of_their_seed(faces):
    assert digest(tiny(1)) == digest(tiny(1)) != digest(tiny(2))
    assert embed(tiny(1), faces).tobytes() == embed(tiny(1), faces).tobytes()


def test_random_weights_tell_faces_apart(small, faces):
    features = embed(small, faces)
    assert (features @ features.T).min() < 0.7


def test_random_weights_leave_the_random_numbers_of_others_alone():
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    tiny(1)
    assert torch.equal(torch.rand(3), expected)


# loading


def save(path: Path, state: dict) -> Path:
    if path.suffix == ".safetensors":
        safetensors_torch.save_file(state, path)
    else:
        torch.save(state, path)
    return path


@pytest.mark.parametrize("name", ["w.safetensors", "w.pt", "w.pth"])
def test_weights_are_loaded_and_the_classifier_is_left_out(tmp_path, narrow, faces, name):
    state = {**narrow.state_dict(), "logits.weight": torch.zeros(8631, 512), "logits.bias": torch.zeros(8631)}
    loaded = load(save(tmp_path / name, state))
    assert not loaded.training
    assert digest(loaded) == digest(narrow)
    assert np.array_equal(embed(loaded, faces), embed(narrow, faces))


def test_counts_of_batches_may_be_missing(tmp_path, narrow, faces):
    state = {name: value for name, value in narrow.state_dict().items() if "num_batches" not in name}
    assert np.array_equal(embed(load(save(tmp_path / "w.safetensors", state)), faces), embed(narrow, faces))


def without(state: dict) -> None:
    del state["repeat_2.3.conv2d.bias"]


def with_another(state: dict) -> None:
    state["fc.weight"] = torch.zeros(3)


def reshaped(state: dict) -> None:
    state["last_linear.weight"] = torch.zeros(128, 224)


def not_finite(state: dict) -> None:
    state["conv2d_1a.bn.weight"][0] = float("nan")


def whole_numbers(state: dict) -> None:
    state["conv2d_1a.bn.weight"] = torch.zeros(4, dtype=torch.int64)


@pytest.mark.parametrize("name", ["w.safetensors", "w.pt"])
@pytest.mark.parametrize(
    "change, sentence",
    [
        (without, r"`repeat_2\.3\.conv2d\.bias` is missing"),
        (with_another, r"`fc\.weight` is unknown"),
        (reshaped, r"`last_linear\.weight` is \(128, 224\), not \(512, 224\)"),
        (not_finite, r"`conv2d_1a\.bn\.weight` holds what is no finite number"),
        (whole_numbers, r"`conv2d_1a\.bn\.weight` holds what is no finite number"),
    ],
)
def test_what_does_not_fit_is_told_by_name(tmp_path, narrow, name, change, sentence):
    state = {key: value.clone() for key, value in narrow.state_dict().items()}
    change(state)
    with pytest.raises(DataError, match=rf"{name} does not fit InceptionResnetV1: {sentence}$"):
        load(save(tmp_path / name, state))


def test_weights_of_another_network_are_told_in_one_line(tmp_path, narrow):
    with pytest.raises(DataError, match=r"is missing.* and \d+ more$"):
        load(save(tmp_path / "w.pt", {"a": torch.zeros(1)}))


class Evil:
    def __reduce__(self):
        return os.mkdir, ("ran",)


@pytest.mark.parametrize(
    "name, content, sentence",
    [
        ("w.pt", Evil(), "cannot be read as weights"),
        ("w.pt", {"a": Evil()}, "cannot be read as weights"),
        ("w.pt", [torch.zeros(1)], "no list of tensors by name"),
        ("w.pt", {"epoch": 3}, "no list of tensors by name"),
        ("w.pt", b"not weights", "cannot be read as weights"),
        ("w.safetensors", b"not weights", "cannot be read as weights"),
        ("w.safetensors", b"", "cannot be read as weights"),
        ("w.pt", b"", "cannot be read as weights"),
    ],
)
def test_files_that_are_no_weights_are_refused_and_run_nothing(tmp_path, monkeypatch, name, content, sentence):
    monkeypatch.chdir(tmp_path)
    if isinstance(content, bytes):
        (tmp_path / name).write_bytes(content)
    else:
        torch.save(content, tmp_path / name)
    with pytest.raises(DataError, match=sentence):
        load(tmp_path / name)
    assert not (tmp_path / "ran").exists()


def test_missing_weights_say_where_to_get_them(tmp_path):
    with pytest.raises(DataError, match="facenet-pytorch's InceptionResnetV1 weights for vggface2") as caught:
        load(tmp_path / "none.safetensors")
    assert "none.safetensors" in str(caught.value) and "safetensors" in str(caught.value)


def test_the_public_weights_fit(faces):
    where = Path(os.environ.get("HPC_SWEEP_REAL_DATA", "")) / "weights" / "20180402-114759-vggface2.pt"
    if not where.is_file():
        pytest.skip("the public weights are not at hand (weights/20180402-114759-vggface2.pt of HPC_SWEEP_REAL_DATA)")
    features = embed(load(where), faces)
    assert np.allclose(np.linalg.norm(features, axis=1), 1, atol=1e-5)
