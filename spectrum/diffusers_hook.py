"""Tells the trunk where a diffusers pipeline stands. The only module here that knows diffusers."""

from collections.abc import Iterator
from typing import Any

from diffusers.hooks import HookRegistry, ModelHook
from diffusers.hooks.context_parallel import ContextParallelSplitHook
from diffusers.hooks.hooks import BaseState, CacheContext, StateManager
from torch import nn
from torch.utils.hooks import RemovableHandle

from spectrum.block_lists import INPUTS_BETWEEN_BLOCKS
from spectrum.settings import Method
from spectrum.trunk import Trunk, TrunkCall

_HOOK_NAME = "spectrum_trunk"


class _NoState(BaseState):
    """The histories live in the trunk; diffusers keeps nothing for us."""

    def reset(self) -> None:
        return None


class _TrunkHook(ModelHook):
    """Copies the pipeline's `cache_context` (branch, step, number of steps) into `trunk.call`."""

    _is_stateful = True  # else diffusers does not pass the context on

    def __init__(self, transformer: nn.Module, pipeline: Any, guard: RemovableHandle) -> None:
        super().__init__()
        self._contexts = StateManager(_NoState)
        self._transformer = transformer
        self._pipeline = pipeline
        self._guard = guard

    def pre_forward(self, module: nn.Module, *args: Any, **kwargs: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
        assert isinstance(module, Trunk)
        context = self._current_context()
        if context is not None:  # parallelism may have been enabled after the trunk was put in place
            check_split(self._transformer, module.settings.method)
        module.call = None if context is None else _call_of(context, self._pipeline)
        return args, kwargs

    def reset_state(self, module: nn.Module) -> nn.Module:
        assert isinstance(module, Trunk)
        module.reset()
        return module

    def deinitalize_hook(self, module: nn.Module) -> nn.Module:
        self._guard.remove()
        return module

    def _current_context(self) -> CacheContext | None:
        try:
            return self._contexts.context
        except ValueError:  # how diffusers says that the forward is not inside a cache_context
            return None


def _refuse_inputs_between_blocks(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    for name in INPUTS_BETWEEN_BLOCKS:
        if kwargs.get(name) is not None:
            raise ValueError(
                f"{type(module).__name__} was given {name}, which it hands to or adds between single blocks, where "
                "Spectrum stands in for all of them: remove_spectrum first"
            )


def _call_of(context: CacheContext, pipeline: Any) -> TrunkCall:
    if context.step_index is not None and context.num_inference_steps is not None:
        return TrunkCall(branch=context.name, step=context.step_index, num_steps=context.num_inference_steps)
    if pipeline is None:
        raise ValueError(
            f"the pipeline's cache_context({context.name!r}) does not say its step_index and num_inference_steps; "
            "Spectrum needs both to follow its plan. apply_spectrum(pipe.transformer, pipeline=pipe) lets it ask the "
            "scheduler"
        )
    step, num_steps = _position_of(pipeline.scheduler)
    return TrunkCall(branch=context.name, step=step, num_steps=num_steps)


def _position_of(scheduler: Any) -> tuple[int, int]:
    """The step that comes next and the number of steps, one for each evaluation of the transformer.

    `set_timesteps`, with which every video begins, clears `step_index`, so that nothing is left of a video that was
    broken off; `scheduler.step` advances it. A video that begins within the schedule says so by `begin_index`.
    """
    if not hasattr(scheduler, "step_index") or getattr(scheduler, "num_inference_steps", None) is None:
        raise ValueError(
            f"{type(scheduler).__name__} does not say its step_index, or is not set up for a video: `pipeline` must "
            "be the one that runs the transformer, and its scheduler must have a step_index"
        )
    begin = getattr(scheduler, "begin_index", None) or 0
    step = begin if scheduler.step_index is None else scheduler.step_index
    return step - begin, len(scheduler.timesteps) - begin


def check_split(transformer: nn.Module, method: Method) -> None:
    """See that the method can forecast each rank's slice by itself, where ranks hold slices of the hidden states.

    Raises:
        ValueError: context parallelism is enabled, and the method needs all tokens on one rank.
    """
    config = getattr(transformer, "_parallel_config", None)
    if method is Method.SVD and config is not None and config.context_parallel_config is not None:
        raise ValueError(
            f"method=svd needs all tokens of a video on one rank, and context parallelism splits those of this "
            f"{type(transformer).__name__}: take another method, or do not enable it"
        )


def attach(transformer: nn.Module, trunk: Trunk, *, pipeline: object | None) -> None:
    """Let `transformer.cache_context(...)` drive `trunk`, which is already one of its modules."""
    guard = transformer.register_forward_pre_hook(_refuse_inputs_between_blocks, with_kwargs=True)
    HookRegistry.check_if_exists_or_initialize(trunk).register_hook(
        _TrunkHook(transformer, pipeline, guard), _HOOK_NAME
    )
    # An earlier cache_context has cached the list of hooked modules, without the trunk.
    HookRegistry.check_if_exists_or_initialize(transformer).invalidate_child_registries_cache()


def detach(transformer: nn.Module, trunk: Trunk) -> None:
    """Undo `attach`, and leave to the first block the split of the tokens that was put on the trunk meanwhile."""
    trunk_registry = HookRegistry.check_if_exists_or_initialize(trunk)
    trunk_registry.remove_hook(_HOOK_NAME, recurse=False)
    for name, hook in _splits_of(trunk_registry):
        trunk_registry.remove_hook(name, recurse=False)
        HookRegistry.check_if_exists_or_initialize(trunk.blocks[0]).register_hook(hook, name)
    HookRegistry.check_if_exists_or_initialize(transformer).invalidate_child_registries_cache()


def _splits_of(registry: HookRegistry) -> Iterator[tuple[str, ModelHook]]:
    """The hooks by which context parallelism gives each rank its slice of the hidden states."""
    for name, hook in list(registry.hooks.items()):
        if isinstance(hook, ContextParallelSplitHook):
            yield name, hook
