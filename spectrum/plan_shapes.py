"""Plans with a given number of full rounds: where in the video they are put."""

from math import cos, pi

from spectrum.plan import Plan


def uniform_plan(num_steps: int, num_full: int) -> Plan:
    """Full rounds at equal distances, the first and the last step among them.

    Raises:
        ValueError: `num_full` is not in 1 … num_steps.
    """
    return node_plan(num_steps, num_full, density=0.0)


def node_plan(num_steps: int, num_full: int, *, density: float = 0.6) -> Plan:
    """Full rounds between uniform and the Chebyshev–Lobatto nodes: dense at both ends.

    The k-th of N full rounds stands at

        (T − 1)·(a·(1 − cos(πk/(N − 1)))/2 + (1 − a)·k/(N − 1)),    k = 0 … N − 1,

    rounded, and moved to the next free step where two fall together. Interpolation theory asks for nodes that are
    dense at the ends (Trefethen, Approximation Theory and Approximation Practice, ch. 13–14), a = 1; the forecasts
    here extrapolate, so that something in between is best.

    Args:
        num_steps: T, denoising steps of the video.
        num_full: N, full rounds. With 1 only the first step is full.
        density: a, in [0, 1].

    Raises:
        ValueError: an argument is out of range; the message says which and what is allowed.
    """
    if not 1 <= num_full <= num_steps:
        raise ValueError(f"num_full={num_full} must lie in 1..{num_steps}, the steps of the video")
    if not 0 <= density <= 1:
        raise ValueError(f"density={density} must lie in [0, 1]")
    if num_full == 1:
        return Plan.from_full_steps(num_steps, [0])
    chosen: list[int] = []
    for k in range(num_full):
        place = k / (num_full - 1)
        ideal = (num_steps - 1) * (density * (1 - cos(pi * place)) / 2 + (1 - density) * place)
        earliest = chosen[-1] + 1 if chosen else 0
        latest = num_steps - num_full + k  # leaves room for those to come
        chosen.append(min(max(round(ideal), earliest), latest))
    return Plan.from_full_steps(num_steps, chosen)
