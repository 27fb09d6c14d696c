"""Attention backends compared: the kernel alone at the video's length, and a whole pass of the transformer.

The backends are those of diffusers' `set_attention_backend`; one that is not installed, or that the device does not
have, is a line with its reason. Numbers are compared with those of "native": the largest difference over the largest
value.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from diffusers.models.attention_dispatch import AttentionBackendName, dispatch_attention_fn

from benchmarks.wan_measure import free_memory, largest_difference, time_calls
from benchmarks.wan_report import describe
from benchmarks.wan_session import NATIVE, Mode, Session
from parallel.wan_shapes import pass_flops

BACKENDS = (NATIVE, "_native_cudnn", "_native_flash", "flash", "_flash_3", "sage")
MOST_DIFFERENCE = 0.1
"""A backend whose velocity differs from native's by more is never the best: it computes something else."""


@dataclass(frozen=True, slots=True)
class _Outputs:
    """What a backend computed."""

    kernel: torch.Tensor
    velocity: torch.Tensor


def measure_attention(session: Session) -> None:
    """Measure every backend that can be had."""
    listed = {member.value for member in AttentionBackendName}
    reference: _Outputs | None = None
    for name in BACKENDS:
        what = f"attention {name}"
        if name not in listed:
            session.report.skip(what, "the installed diffusers does not list it")
            continue
        if not session.deadline.allows(what, session.predict_build() + 3 * session.predict_pass()):
            continue
        try:
            outputs = _measure_backend(session, name, reference)
        except Exception as error:  # every library fails with kinds of its own, and what is missing is a result
            session.report.add("attention", name, {"error": describe(error)}, f"{name}: {describe(error)}")
        else:
            reference = reference or outputs
        free_memory(session.device)


def best_attention(session: Session) -> str:
    """The backend with the fastest pass among those that compute the same; native if none was measured."""
    measured = session.report.figures["parts"].get("attention", {})
    usable = {
        name: figures["pass_seconds"]
        for name, figures in measured.items()
        if "pass_seconds" in figures and figures["pass_difference"] <= MOST_DIFFERENCE
    }
    return min(usable, key=lambda name: usable[name]) if usable else NATIVE


def _measure_backend(session: Session, name: str, reference: _Outputs | None) -> _Outputs:
    wan, mode, device = session.wan, Mode(attention=name), session.device
    kernel = _kernel(session, name)
    with wan.running(mode):
        outputs = _Outputs(kernel=kernel(), velocity=wan.run_pass())  # and the warm-up of both
        kernel_seconds = min(time_calls(kernel, device=device, repeats=1 if session.is_quick else 5, warmups=0))
        pass_seconds = min(time_calls(wan.run_pass, device=device, repeats=1 if session.is_quick else 2, warmups=0))
    reference = reference or outputs
    shape = session.model.transformer
    kernel_flops = pass_flops(shape, session.num_tokens).self_attention / shape.num_blocks
    figures: dict[str, Any] = {
        "kernel_seconds": kernel_seconds,
        "kernel_tflops": kernel_flops / kernel_seconds / 1e12,
        "kernel_difference": largest_difference(outputs.kernel, reference.kernel),
        "pass_seconds": pass_seconds,
        "pass_difference": largest_difference(outputs.velocity, reference.velocity),
    }
    session.passes[mode] = pass_seconds
    session.report.add(
        "attention",
        name,
        figures,
        f"{name}: kernel {1000 * kernel_seconds:.2f} ms, {figures['kernel_tflops']:.3g} TFLOP/s; a pass "
        f"{pass_seconds:.3f} s; differs from native by {figures['kernel_difference']:.1e} in the kernel, "
        f"{figures['pass_difference']:.1e} in the velocity",
    )
    return outputs


def _kernel(session: Session, name: str) -> Callable[[], torch.Tensor]:
    """Self-attention of one block on random queries, keys and values, all tokens to all."""
    shape = session.model.transformer
    generator = torch.Generator(session.device).manual_seed(1)
    query, key, value = (
        torch.randn(
            *(1, session.num_tokens, shape.num_heads, shape.head_width),
            device=session.device,
            dtype=torch.bfloat16,
            generator=generator,
        )
        for _ in range(3)
    )

    @torch.no_grad()
    def call() -> torch.Tensor:
        attended: torch.Tensor = dispatch_attention_fn(query, key, value, backend=AttentionBackendName(name))
        return attended

    return call
