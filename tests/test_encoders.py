"""Feature networks: the registry, names, shapes and gradients, loading, and the download of weights."""

from __future__ import annotations

import hashlib
import os
import pickle
import threading
from collections.abc import Iterator
from functools import partial
from http.server import BaseHTTPRequestHandler, HTTPServer
from importlib import import_module
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from pipeline.encoders.compact import PUBLIC_LAYERS, Architecture, CompactNetwork, load_compact, save_compact
from pipeline.encoders.fetch import cache_folder, download, fetch, verify, weights_path
from pipeline.encoders.load import load_encoder
from pipeline.encoders.network import Encoder
from pipeline.encoders.pretrained import torchvision_module, weights_url
from pipeline.encoders.registry import AUTO, ENCODERS, WEIGHTS, encoder_names
from pipeline.encoders.tiny import load as load_tiny
from pipeline.encoders.vgg import CONFIGURATIONS, load_vgg
from pipeline.errors import ConfigError, InputError, MissingPartError


def random_images(batch: int, height: int, width: int, seed: int = 0) -> Tensor:
    return torch.rand((batch, 3, height, width), generator=torch.Generator().manual_seed(seed))


@pytest.fixture(scope="module", params=["tiny", "compact"])
def encoder(request: pytest.FixtureRequest) -> Encoder:
    return load_encoder(request.param)


def test_every_entry_of_the_registry_names_a_file_that_loads_it() -> None:
    for entry in ENCODERS.values():
        assert callable(import_module(f"pipeline.encoders.{entry.module}").load)


def test_registry_lists_what_users_may_choose() -> None:
    assert encoder_names() == (AUTO, "compact", "vgg19", "vgg16")
    assert set(WEIGHTS) == {"compact", "vgg19", "vgg16", "raft_small", "raft_large"}


def test_encoder_without_weights_refuses_a_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no weights file"):
        load_encoder("tiny", weights=tmp_path / "a.safetensors")


def test_layers_have_the_names_and_sizes_of_vgg(encoder: Encoder) -> None:
    features = encoder(random_images(2, 37, 53), encoder.layers)
    assert set(PUBLIC_LAYERS[:1]) < set(encoder.layers) <= set(PUBLIC_LAYERS)
    assert list(features) == list(encoder.layers)
    for layer, found in features.items():
        stride = 2 ** (int(layer[4]) - 1)
        assert found.shape[0] == 2
        assert found.shape[2:] == (37 // stride, 53 // stride)
        assert found.dtype == torch.float32
        assert float(found.min()) >= 0


def test_compact_has_every_promised_layer() -> None:
    assert load_encoder("compact").layers == PUBLIC_LAYERS


def test_bfloat16_features_are_bfloat16_and_close() -> None:
    exact, half = load_encoder("compact"), load_encoder("compact", dtype=torch.bfloat16)
    images = random_images(1, 48, 48)
    for layer, found in half(images, half.layers).items():
        assert found.dtype == torch.bfloat16
        expected = exact(images, [layer])[layer]
        assert float((found.float() - expected).norm() / expected.norm()) < 0.03


def test_smallest_image_works_and_a_smaller_one_is_refused(encoder: Encoder) -> None:
    side = encoder.min_side_px
    assert encoder(random_images(1, side, side), encoder.layers)[encoder.layers[-1]].shape[2:] == (1, 1)
    with pytest.raises(InputError, match="too small"):
        encoder(random_images(1, side - 1, 64), encoder.layers)


def test_unknown_layer_names_the_valid_ones(encoder: Encoder) -> None:
    with pytest.raises(ConfigError, match="relu9_9") as caught:
        encoder(random_images(1, 32, 32), ["relu1_1", "relu9_9"])
    assert all(layer in caught.value.hint for layer in encoder.layers)


def test_forward_pass_ends_at_the_deepest_requested_layer() -> None:
    network, _ = load_tiny("tiny", None, None)
    network.eval()
    ran: list[str] = []
    for name, module in network.named_modules():
        if isinstance(module, nn.Conv2d):
            module.register_forward_hook(lambda *_, name=name: ran.append(name))
    network(random_images(1, 32, 32), ["relu1_1", "relu2_1"])
    assert ran == ["conv1_1", "conv1_2", "conv2_1"]


def test_encoder_is_frozen_and_differentiable_with_respect_to_images(encoder: Encoder) -> None:
    images = random_images(1, 32, 48).requires_grad_(True)
    features = encoder(images, encoder.layers)
    (gradient,) = torch.autograd.grad(features["relu4_1"].sum(), images, retain_graph=True)
    assert float(gradient.abs().sum()) > 0
    (again,) = torch.autograd.grad(features["relu4_1"].sum(), images)
    assert torch.equal(again, gradient)


def test_network_that_is_no_list_of_steps_has_the_same_gradient() -> None:
    network = load_tiny("tiny", None, None)[0].eval().requires_grad_(False)
    plain = Encoder("plain", "", torch.float32, torch.device("cpu"), network)
    expected = load_encoder("tiny")
    gradients: list[Tensor] = []
    for own in (plain, expected):
        images = random_images(1, 32, 48).requires_grad_(True)
        features = own(images, own.layers)
        gradients += torch.autograd.grad(features["relu3_1"].square().sum(), images)
    assert torch.allclose(gradients[0], gradients[1], rtol=1e-4, atol=1e-6)
    assert plain.reach_px(["relu3_1"]) is None


def test_gradient_agrees_with_finite_differences() -> None:
    """Through branches, padding and both kinds of pooling, for deep and shallow layers at once."""
    architecture = Architecture(((3, 3), (3, 3), (3, 3, 3), (3, 3), (3,)), ("average", "max", "average", "max"))
    torch.manual_seed(0)
    network = CompactNetwork(architecture).double().eval()
    network.requires_grad_(False)
    images = random_images(1, 18, 20, seed=3).double()
    direction = torch.randn(images.shape, generator=torch.Generator().manual_seed(4)).double()
    layers = ("relu1_1", "relu2_2", "relu3_1", "relu5_1")

    def value(x: Tensor) -> Tensor:
        features = network(x, layers)
        return torch.stack([found.double().square().mean().sqrt() for found in features.values()]).sum()

    images.requires_grad_(True)
    (gradient,) = torch.autograd.grad(value(images), images)
    step = 1e-6
    numeric = (value(images.detach() + step * direction) - value(images.detach() - step * direction)) / (2 * step)
    assert float((gradient * direction).sum()) == pytest.approx(float(numeric), rel=1e-4)


def test_features_of_an_image_do_not_depend_on_the_batch(encoder: Encoder) -> None:
    first, large = random_images(1, 32, 40, seed=1), 50 * random_images(1, 32, 40, seed=2)
    together = encoder(torch.cat((first, large)), encoder.layers)
    for layer, found in encoder(first, encoder.layers).items():
        assert torch.allclose(together[layer][:1], found, rtol=1e-4, atol=1e-4)


def test_shifting_by_a_stride_shifts_the_features() -> None:
    """Borders are mirrored, so the middle of a shifted image has the same features."""
    encoder = load_encoder("compact")
    images = random_images(1, 128, 128)
    middle = encoder(images[..., 16:], ["relu3_1"])["relu3_1"][..., 8:-8, 8:-8]
    assert torch.allclose(encoder(images, ["relu3_1"])["relu3_1"][..., 8:-8, 12:-8], middle, atol=1e-3)


def test_tiny_has_the_same_weights_on_every_load() -> None:
    first, second = load_encoder("tiny"), load_encoder("tiny")
    assert first.digest == second.digest
    images = random_images(1, 16, 16)
    assert torch.equal(first(images, ["relu5_1"])["relu5_1"], second(images, ["relu5_1"])["relu5_1"])
    assert float(first(random_images(1, 64, 64), ["relu5_1"])["relu5_1"].std()) > 1e-3


def test_pooling_changes_features_and_an_unknown_one_is_refused() -> None:
    images = random_images(1, 32, 32)
    found = {kind: load_encoder("tiny", pooling=kind)(images, ["relu3_1"])["relu3_1"] for kind in ("max", "average")}
    assert not torch.equal(found["max"], found["average"])
    with pytest.raises(ConfigError, match="pooling"):
        load_encoder("tiny", pooling="median")  # type: ignore[arg-type]


def test_digest_is_that_of_the_shipped_file() -> None:
    encoder = load_encoder("compact")
    assert encoder.digest == hashlib.sha256(weights_path("compact").read_bytes()).hexdigest() == verify("compact")
    assert weights_path("compact").stat().st_size <= 3_000_000
    assert encoder.digest in weights_path("compact").with_suffix(".md").read_text(encoding="utf-8")


def test_unknown_encoder_names_the_valid_ones() -> None:
    with pytest.raises(ConfigError) as caught:
        load_encoder("vgg20")
    assert "compact" in caught.value.hint and "tiny" not in caught.value.hint
    with pytest.raises(ConfigError):
        weights_path("vgg20")


def test_compact_file_is_loaded_as_it_was_saved(tmp_path: Path) -> None:
    network, _ = load_tiny("tiny", None, None)
    path = tmp_path / "mine.safetensors"
    save_compact(network, path, torch.float32, {"note": "kept"})
    loaded = load_compact(path)
    assert loaded.architecture == network.architecture
    for name, tensor in network.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], tensor)
    assert load_encoder("auto", weights=path).name == "compact"


@pytest.mark.parametrize("damage", ["absent", "truncated", "empty", "text", "other", "shapes"])
def test_damaged_compact_weights_are_refused(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "compact.safetensors"
    whole = weights_path("compact").read_bytes()
    if damage == "other":
        save_file({"a": torch.zeros(1)}, path)
    elif damage == "shapes":
        save_compact(load_tiny("tiny", None, None)[0], path)
        with safe_open(path, framework="pt") as file:
            header = file.metadata()
        save_file({"conv1_1.weight": torch.zeros(1)}, path, metadata=header)
    elif damage != "absent":
        path.write_bytes({"truncated": whole[:-1000], "empty": b"", "text": b"<html>not found</html>"}[damage])
    with pytest.raises(MissingPartError) as caught:
        load_encoder("compact", weights=path)
    assert caught.value.hint
    assert "\n" not in caught.value.message


@pytest.fixture(scope="module")
def vgg_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A state dict with the shapes of VGG-16's convolutions and seeded random values."""
    module = torchvision_module("models.vgg")
    torch.manual_seed(0)
    features = module.make_layers(module.cfgs[CONFIGURATIONS["vgg16"]], batch_norm=False)
    path = tmp_path_factory.mktemp("vgg") / "vgg16.pth"
    torch.save({f"features.{name}": value for name, value in features.state_dict().items()}, path)
    return path


def test_vgg_equals_torchvisions_own_forward(vgg_file: Path) -> None:
    module = torchvision_module("models.vgg")
    features = module.make_layers(module.cfgs[CONFIGURATIONS["vgg16"]], batch_norm=False)
    state = torch.load(vgg_file, weights_only=True)
    features.load_state_dict({name.removeprefix("features."): value for name, value in state.items()})
    images = random_images(1, 35, 48)
    mean, deviation = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    x = (images - mean[:, None, None]) / deviation[:, None, None]
    expected = {}
    layer_indices = {1: "relu1_1", 11: "relu3_1", 20: "relu4_2", 25: "relu5_1"}
    with torch.no_grad():
        for index, layer in enumerate(features[:26]):
            x = layer(x)
            if index in layer_indices:
                expected[layer_indices[index]] = x.clone()
    encoder = load_encoder("vgg16", weights=vgg_file)
    found = encoder(images, tuple(expected))
    for name, features_found in expected.items():
        assert torch.allclose(found[name], features_found, rtol=1e-3, atol=1e-4), name
    assert encoder.layers[-1] == "relu5_3"
    assert encoder.digest == hashlib.sha256(vgg_file.read_bytes()).hexdigest()
    average = load_encoder("vgg16", weights=vgg_file, pooling="average")
    assert not torch.equal(average(images, ["relu3_1"])["relu3_1"], found["relu3_1"])


def test_vgg_file_of_another_network_is_refused(vgg_file: Path) -> None:
    with pytest.raises(MissingPartError, match="does not hold the weights of vgg19"):
        load_encoder("vgg19", weights=vgg_file)


class _Attack:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (print, ("code has run",))


@pytest.mark.parametrize("damage", ["absent", "truncated", "empty", "text", "code", "list"])
def test_invalid_vgg_file_is_refused_and_runs_no_code(
    vgg_file: Path, tmp_path: Path, damage: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "vgg16.pth"
    if damage == "code":
        path.write_bytes(pickle.dumps(_Attack()))
    elif damage == "list":
        torch.save([torch.zeros(1)], path)
    elif damage != "absent":
        content = vgg_file.read_bytes()[:200_000] if damage == "truncated" else b""
        path.write_bytes(b"<html>" if damage == "text" else content)
    with pytest.raises(MissingPartError) as caught:
        load_vgg("vgg16", path)
    assert "compact" in caught.value.hint
    assert "weights_only" not in caught.value.message  # torch advises to switch it off
    assert "code has run" not in capsys.readouterr().out


def test_file_names_and_digests_are_those_of_torchvision() -> None:
    for name, weights in WEIGHTS.items():
        if weights.torchvision:
            assert weights_url(name).rpartition("/")[2] == weights.file_name
            assert weights.file_name.endswith(
                f"-{weights.sha256}.pth"
            )  # torch's names hold the beginning of the digest
            assert len(weights.sha256) == 8


class _Server(BaseHTTPRequestHandler):
    """Serves `content`; breaks off after `limit` bytes of an answer, and honors Range if `ranges`."""

    content = b""
    limit: int | None = None
    ranges = True
    requests: list[str | None]

    def do_GET(self) -> None:
        requested = self.headers.get("Range")
        self.requests.append(requested)
        start = int(requested.removeprefix("bytes=").removesuffix("-")) if requested and self.ranges else 0
        if start >= len(self.content):
            self.send_error(416)
            return
        body = self.content[start:]
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body if self.limit is None else body[: self.limit])

    def log_message(self, *arguments: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[tuple[str, type[_Server]]]:
    handler = type("Handler", (_Server,), {"content": bytes(range(256)) * 9000, "requests": []})
    with HTTPServer(("127.0.0.1", 0), handler) as running:
        thread = threading.Thread(target=partial(running.serve_forever, poll_interval=0.01), daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{running.server_port}/net.pth", handler
        running.shutdown()
        thread.join()


def test_interrupted_download_resumes(server: tuple[str, type[_Server]], tmp_path: Path) -> None:
    url, handler = server
    path = tmp_path / "cache" / "net.pth"
    digest = hashlib.sha256(handler.content).hexdigest()
    handler.limit = 1_500_000
    with pytest.raises(MissingPartError, match="could not be downloaded"):
        download(url, path, digest[:8], hint="again")
    assert not path.exists()
    handler.limit = None
    seen: list[tuple[int, int | None]] = []
    download(url, path, digest[:8], lambda done, total: seen.append((done, total)), hint="again")
    assert path.read_bytes() == handler.content
    assert handler.requests == [None, "bytes=1500000-"]
    assert seen[-1] == (len(handler.content), len(handler.content))
    assert [item.name for item in path.parent.iterdir()] == ["net.pth"]


def test_download_from_a_server_without_ranges_starts_again(server: tuple[str, type[_Server]], tmp_path: Path) -> None:
    url, handler = server
    handler.ranges = False
    path = tmp_path / "net.pth"
    path.with_name("net.pth.part").write_bytes(b"half a file")
    download(url, path, hashlib.sha256(handler.content).hexdigest(), hint="again")
    assert path.read_bytes() == handler.content


def test_complete_partial_file_is_used(server: tuple[str, type[_Server]], tmp_path: Path) -> None:
    url, handler = server
    path = tmp_path / "net.pth"
    path.with_name("net.pth.part").write_bytes(handler.content)
    download(url, path, hashlib.sha256(handler.content).hexdigest(), hint="again")
    assert path.read_bytes() == handler.content


def test_download_with_a_wrong_digest_is_deleted(server: tuple[str, type[_Server]], tmp_path: Path) -> None:
    url, _ = server
    path = tmp_path / "net.pth"
    with pytest.raises(MissingPartError, match="SHA-256"):
        download(url, path, "00000000", hint="again")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("name", "option"),
    [("vgg19", "--encoder compact"), ("vgg16", "--weights"), ("raft_small", "--set motion.method=dis")],
)
def test_failed_download_is_an_error_with_instructions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, option: str
) -> None:
    monkeypatch.setenv("TEMPERA_CACHE", str(tmp_path))
    monkeypatch.setattr("pipeline.encoders.pretrained.weights_url", lambda name: f"http://127.0.0.1:9/{name}.pth")
    with pytest.raises(MissingPartError, match="could not be downloaded") as caught:
        fetch(name)
    assert f"tempera weights fetch {name}" in caught.value.hint
    assert str(tmp_path / WEIGHTS[name].file_name) in caught.value.hint
    assert option in caught.value.hint
    assert caught.value.exit_code == 6
    with pytest.raises(MissingPartError, match="not at"):
        verify(name)


def test_the_cache_has_a_place_without_a_home_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("TEMPERA_CACHE", "XDG_CACHE_HOME", "HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(os.path, "expanduser", lambda path: path)  # as for a user that the system does not know
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(tmp_path))
    assert cache_folder() == tmp_path / "tempera"
    monkeypatch.setenv("TEMPERA_CACHE", "~nobody-of-this-name/cache")
    assert cache_folder() == Path("~nobody-of-this-name/cache")


def test_weights_in_the_cache_are_used(vgg_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEMPERA_CACHE", str(tmp_path))
    assert load_encoder("auto").name == "compact"
    with pytest.raises(MissingPartError, match="not at"):
        verify("vgg16")
    path = tmp_path / WEIGHTS["vgg16"].file_name
    path.write_bytes(vgg_file.read_bytes())
    assert fetch("vgg16") == path
    with pytest.raises(MissingPartError, match="damaged"):
        verify("vgg16")
    assert load_encoder("vgg16").name == "vgg16"
