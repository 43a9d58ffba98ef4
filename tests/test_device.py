"""Device and arithmetic by fixed rules."""

import pytest
import torch

from mmlab import device
from mmlab.config import RunConfig
from mmlab.device import autocast, cpu_computes_bf16, find_precision, own_random, resolved, threads_for

CPU, GPU = torch.device("cpu"), torch.device("cuda")


@pytest.fixture
def bf16(monkeypatch):
    """Says whether this CPU computes with bf16."""

    def say(answer: bool) -> None:
        monkeypatch.setattr(device, "cpu_computes_bf16", lambda: answer)
        monkeypatch.setattr(device, "find_device", lambda: CPU)

    return say


@pytest.mark.parametrize(("has_bf16", "expected"), [(True, "bf16"), (False, "fp32")])
def test_the_rule_of_a_cpu(bf16, has_bf16, expected):
    bf16(has_bf16)
    assert find_precision() == expected
    assert find_precision("fp16") == "fp16"  # what is asked for is taken


def test_a_gpu_computes_in_bf16_where_it_can_and_else_in_fp16(monkeypatch):
    for answer, expected in ((True, "bf16"), (False, "fp16")):
        monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation, answer=answer: answer)
        assert find_precision(device=GPU) == expected
    assert find_precision(device=torch.device("mps")) == "fp32"


def test_torch_is_asked_about_bf16_and_may_have_forgotten_the_question(monkeypatch):
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: False, raising=False)
    for answer in (True, False):
        monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda answer=answer: answer, raising=False)
        assert cpu_computes_bf16() == answer
    monkeypatch.delattr(torch.cpu, "_is_avx512_bf16_supported")
    monkeypatch.delattr(torch.cpu, "_is_amx_tile_supported")
    assert cpu_computes_bf16() is False


def test_what_was_resolved_is_said_in_words(bf16):
    bf16(True)
    assert resolved(RunConfig()) == "cpu"
    assert resolved(RunConfig(text_layers=1)) == "cpu, text in bf16"
    assert resolved(RunConfig(text_layers=1, image_layers=1, precision="fp32")) == "cpu, text and image in fp32"
    bf16(False)
    assert resolved(RunConfig(text_layers=1)) == "cpu, text in fp32"


@pytest.mark.parametrize(("precision", "dtype"), [("bf16", torch.bfloat16), ("fp32", torch.float32)])
def test_autocast_computes_products_in_the_precision(precision, dtype):
    with autocast(CPU, precision):
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == dtype


def test_heads_take_one_thread_and_encoders_all():
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        with threads_for(RunConfig()):
            assert torch.get_num_threads() == 1
        assert torch.get_num_threads() == 2
        with threads_for(RunConfig(text_layers=1)):
            assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_own_random_numbers_leave_the_callers_alone():
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    with own_random(1, CPU):
        first = torch.rand(3)
    with own_random(1, CPU):
        assert torch.equal(torch.rand(3), first)
    assert torch.equal(torch.rand(3), expected) and not torch.equal(first, expected)
