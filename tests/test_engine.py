"""Frozen networks run by OpenVINO: the vectors of torch, any kind of model, nothing sent, torch where it cannot be."""

import dataclasses
import os
import subprocess
import sys

import numpy as np
import pytest
from networks import save_text_model

from mmlab.encoders import find_image_encoder, find_text_encoder
from mmlab.engine import REFUSED, Network, Unconvertible, convert, network_folder, read_notes, run_converted, run_torch

TEXTS = ["hello there", "word " * 500, "", *(f"a text of {n} words " * n for n in range(1, 9))]


@pytest.fixture(scope="module")
def cache_root(tmp_path_factory):
    return tmp_path_factory.mktemp("engine_cache")


@pytest.fixture(autouse=True)
def cache(cache_root, monkeypatch):
    monkeypatch.setenv("MMLAB_CACHE", str(cache_root))


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Random models of two layers and more, as their libraries save them: two of text, two of images."""
    import timm
    import torch

    tokenizer = find_text_encoder("minilm").tokenizer
    found = {}
    sizes = {"hidden_size": 64, "num_hidden_layers": 3, "num_attention_heads": 4, "intermediate_size": 128}
    for kind in ("bert", "roberta"):
        found[kind] = str(save_text_model(kind, tokenizer, tmp_path_factory.mktemp("text") / kind, **sizes))
    for name in ("test_convnext", "test_vit"):
        torch.manual_seed(0)
        found[name] = str(tmp_path_factory.mktemp("image") / name)
        timm.models.save_for_hf(timm.create_model(name), found[name])
    return found


@pytest.fixture(scope="module")
def paths(demo_folder):
    return [str(path) for path in sorted((demo_folder / "data").glob("*.jpg"))[:11]]


def smallest_cosine(found, expected) -> float:
    a, b = (np.concatenate(one).astype(np.float64) for one in (found, expected))
    return float(((a * b).sum(axis=1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)).min())


@pytest.mark.parametrize("kind", ["bert", "roberta", "test_convnext", "test_vit"])
def test_any_model_has_the_vectors_that_torch_gives_it(folders, paths, kind):
    find, items = (find_text_encoder, TEXTS) if kind in ("bert", "roberta") else (find_image_encoder, paths)

    def encode(precision, engine):
        return dataclasses.replace(find(folders[kind], precision), engine=engine).encode(items)

    exact = encode("fp32", "torch")
    assert smallest_cosine(encode("fp32", "openvino"), exact) >= 0.99999
    assert smallest_cosine(encode("bf16", "openvino"), encode("bf16", "torch")) >= 0.999
    assert smallest_cosine(exact[1:] + exact[:1], exact) < 0.99 if kind == "test_vit" else True


def test_the_engine_and_its_arithmetic_are_part_of_the_fingerprint(folders):
    encoder = find_text_encoder(folders["bert"], "fp32")
    names = {
        dataclasses.replace(encoder, engine=engine, precision=precision).fingerprint
        for engine in ("openvino", "torch")
        for precision in ("fp32", "bf16")
    }
    assert len(names) == 4 and encoder.fingerprint in names  # auto is one of them


class Doubling:
    """Networks made of one function, for what OpenVINO makes of it."""

    @staticmethod
    def network(function) -> Network:
        import torch

        class Module(torch.nn.Module):
            def forward(self, values):
                return function(values)

        examples = (np.ones((2, 3), np.float32),), (np.arange(20, dtype=np.float32).reshape(5, 4),)
        return Network(Module(), examples, {"side": 7}, {"words.txt": "naïve"})


def test_a_converted_network_is_kept_with_its_notes_and_answers_batches_in_order():
    folder = network_folder("doubling")
    assert read_notes(folder) is None
    network = Doubling.network(lambda values: 2 * values)
    convert(network, folder)
    assert read_notes(folder) == {"side": 7} and (folder / "words.txt").read_text("utf-8") == "naïve"
    batches = [(np.full((1 + n % 3, 2), n, np.float32),) for n in range(9)]
    for run in (run_converted(folder, "fp32"), run_torch(network, "fp32")):
        assert [one.tolist() for one in run(batches)] == [(2 * batch).tolist() for (batch,) in batches]


def test_a_network_that_forgets_the_shape_is_refused_and_not_tried_again():
    """Tracing keeps a number that Python has computed from a shape; the second example has another shape."""
    folder = network_folder("forgetful")
    with pytest.raises(Unconvertible, match="other vectors"):
        convert(Doubling.network(lambda values: values * int(values.shape[0])), folder)
    assert read_notes(folder) is None and (folder / REFUSED).is_file()
    convert(Doubling.network(lambda values: values * values.shape[1]), network_folder("mindful"))  # the twin


def test_torch_runs_what_openvino_cannot_and_one_line_says_so(folders, monkeypatch, capsys):
    encoder = find_text_encoder(folders["roberta"], "fp32")
    expected, before = encoder.encode(TEXTS), encoder.fingerprint
    assert capsys.readouterr().err == ""
    monkeypatch.setattr("mmlab.engine.ROUNDING", -1)  # no network is close enough
    again = dataclasses.replace(encoder)
    again.__dict__["_folder"] = network_folder("refused-roberta")
    assert again.fingerprint == before
    found = again.encode(TEXTS)
    assert smallest_cosine(found, expected) >= 0.99999
    said = capsys.readouterr().err
    assert said.count("\n") == 1 and "torch does" in said and folders["roberta"] in said
    assert again.fingerprint != before  # features of the one engine are not taken for those of the other
    again.prepare()
    assert capsys.readouterr().err == ""


def test_a_damaged_copy_is_converted_again(folders):
    encoder = find_text_encoder(folders["bert"], "fp32")
    expected = encoder.encode(TEXTS)
    weights = encoder._folder / "model.bin"
    weights.write_bytes(weights.read_bytes()[:100])
    assert smallest_cosine(find_text_encoder(folders["bert"], "fp32").encode(TEXTS), expected) == pytest.approx(1)
    assert weights.stat().st_size > 100


def run_python(code: str, *arguments: str) -> str:
    """Standard output of a fresh interpreter that knows this test's cache."""
    call = [sys.executable, "-c", code, *arguments]
    done = subprocess.run(call, capture_output=True, text=True, env={**os.environ}, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


WATCHED = """
import sys
seen = []
names = ("socket.connect", "socket.getaddrinfo", "socket.sendto")
sys.addaudithook(lambda event, arguments: seen.append(event) if event in names else None)
"""
ENCODE = """
from mmlab.encoders import find_image_encoder, find_text_encoder
find_text_encoder(sys.argv[1]).encode(["a text"])
find_image_encoder(sys.argv[2]).encode([sys.argv[3]])
print(sorted(set(seen)), sys.modules.get("openvino_telemetry"), "openvino" in sys.modules)
"""
CONNECT = """
import socket
with socket.create_server(("127.0.0.1", 0)) as server:
    socket.create_connection(server.getsockname()).close()
import openvino_telemetry
print(sorted(set(seen)), sys.modules.get("openvino_telemetry") is not None)
"""


def test_encoding_sends_nothing_and_loads_no_telemetry(folders, paths, tmp_path, monkeypatch):
    monkeypatch.setenv("MMLAB_CACHE", str(tmp_path))  # so that the networks are converted as well
    said = run_python(WATCHED + ENCODE, folders["bert"], folders["test_vit"], paths[0])
    assert said == "[] None True"
    assert (
        run_python(WATCHED + CONNECT) == "['socket.connect', 'socket.getaddrinfo'] True"
    )  # the twin: it would be seen


LIBRARIES = "print(sorted({'timm', 'torchvision', 'transformers'} & set(sys.modules)))"


def test_a_later_process_needs_neither_the_models_nor_their_libraries(folders, paths, tmp_path, monkeypatch):
    monkeypatch.setenv("MMLAB_CACHE", str(tmp_path))
    code, given = "import sys\nseen = []\n" + ENCODE + LIBRARIES, (folders["bert"], folders["test_vit"], paths[0])
    assert run_python(code, *given).endswith(
        "['timm', 'torchvision', 'transformers']"
    )  # the twin: to convert needs all
    assert run_python(code, *given).endswith("[]")


SIGNALLED = """
import gc, signal, subprocess, sys
from mmlab import engine
from mmlab.encoders import find_image_encoder, find_text_encoder
if sys.argv[4] == "twin":
    engine._core = engine._core.__wrapped__  # a core for each network
text, image = find_text_encoder(sys.argv[1]), find_image_encoder(sys.argv[2])
text.encode(["a text"])
image.encode([sys.argv[3]])
del text, image
gc.collect()
signal.signal(signal.SIGCHLD, lambda *_: None)
subprocess.run([sys.executable, "-c", ""])
print("alive")
"""


@pytest.mark.skipif(sys.platform != "linux", reason="OpenVINO has a stack for signals on Linux alone")
def test_a_process_that_has_encoded_survives_the_signals_of_its_children(folders, paths):
    given = folders["bert"], folders["test_vit"], paths[0]
    assert run_python(SIGNALLED, *given, "") == "alive"
    call = [sys.executable, "-c", SIGNALLED, *given, "twin"]
    assert subprocess.run(call, capture_output=True, check=False).returncode < 0  # killed by a signal
