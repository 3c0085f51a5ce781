import pytest
import torch

from ocr_model.devices import Precision, precision_on

CPU = torch.device("cpu")


@pytest.mark.parametrize(
    ("capabilities", "expected"),
    [
        ({"avx512_bf16": True, "avx2": True}, torch.bfloat16),
        ({"avx512_bf16": False, "avx2": True}, torch.float32),
        ({}, torch.float32),
    ],
)
def test_a_cpu_computes_in_bf16_where_it_has_instructions_for_it(
    monkeypatch: pytest.MonkeyPatch, capabilities: dict[str, bool], expected: torch.dtype
) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities, raising=False)
    assert precision_on(CPU, "auto") == expected
    assert precision_on(CPU, "fp32") == torch.float32


@pytest.mark.parametrize(
    ("precision", "instructions"), [("bf16", "avx512_bf16"), ("fp16", "avx512_fp16")]
)
def test_a_precision_that_the_cpu_has_no_instructions_for_is_taken_with_a_warning(
    precision: Precision,
    instructions: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    capabilities = {instructions: True}
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: capabilities, raising=False)
    expected = precision_on(CPU, precision)
    assert not caplog.records
    capabilities[instructions] = False
    assert precision_on(CPU, precision) == expected
    assert f"precision={precision} is slow: torch" in caplog.text


def test_a_torch_that_does_not_say_what_the_cpu_can_computes_in_fp32(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delattr(torch.cpu, "get_capabilities", raising=False)
    assert precision_on(CPU, "auto") == torch.float32
