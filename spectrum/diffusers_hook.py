"""Tells the trunk where a diffusers pipeline stands. The only module here that knows diffusers."""

from typing import Any

from diffusers.hooks import HookRegistry, ModelHook
from diffusers.hooks.hooks import BaseState, CacheContext, StateManager
from torch import nn

from spectrum.trunk import Trunk, TrunkCall

_HOOK_NAME = "spectrum_trunk"


class _NoState(BaseState):
    """The histories live in the trunk; diffusers keeps nothing for us."""

    def reset(self) -> None:
        return None


class _TrunkHook(ModelHook):
    """Copies the pipeline's `cache_context` (branch, step, number of steps) into `trunk.call`."""

    _is_stateful = True  # else diffusers does not pass the context on

    def __init__(self) -> None:
        super().__init__()
        self._contexts = StateManager(_NoState)

    def pre_forward(self, module: nn.Module, *args: Any, **kwargs: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
        assert isinstance(module, Trunk)
        module.call = _call_of(self._current_context())
        return args, kwargs

    def reset_state(self, module: nn.Module) -> nn.Module:
        assert isinstance(module, Trunk)
        module.reset()
        return module

    def _current_context(self) -> CacheContext | None:
        try:
            return self._contexts.context
        except ValueError:  # how diffusers says that the forward is not inside a cache_context
            return None


def _call_of(context: CacheContext | None) -> TrunkCall | None:
    if context is None:
        return None
    if context.step_index is None or context.num_inference_steps is None:
        raise ValueError(
            f"the pipeline's cache_context({context.name!r}) does not say its step_index and num_inference_steps; "
            "Spectrum needs both to follow its plan"
        )
    return TrunkCall(branch=context.name, step=context.step_index, num_steps=context.num_inference_steps)


def attach(transformer: nn.Module, trunk: Trunk) -> None:
    """Let `transformer.cache_context(...)` drive `trunk`, which is already one of its modules."""
    HookRegistry.check_if_exists_or_initialize(trunk).register_hook(_TrunkHook(), _HOOK_NAME)
    # An earlier cache_context has cached the list of hooked modules, without the trunk.
    HookRegistry.check_if_exists_or_initialize(transformer).invalidate_child_registries_cache()


def detach(transformer: nn.Module, trunk: Trunk) -> None:
    """Undo `attach`."""
    HookRegistry.check_if_exists_or_initialize(trunk).remove_hook(_HOOK_NAME, recurse=False)
    HookRegistry.check_if_exists_or_initialize(transformer).invalidate_child_registries_cache()
