"""Run many modules, as `python -m` would, and blocks of Python in one process: JSON in, answers as JSON out.

Most of a command's time is the import of torch and diffusers, which all of them share here.
"""

import contextlib
import io
import json
import os
import runpy
import sys
import traceback
from collections.abc import Callable, Iterator


@contextlib.contextmanager
def surroundings(arguments: list[str], environment: dict[str, str]) -> Iterator[None]:
    before_arguments, before = sys.argv, dict(os.environ)
    sys.argv = arguments
    os.environ.update(environment)
    try:
        yield
    finally:
        sys.argv = before_arguments
        os.environ.clear()
        os.environ.update(before)


def captured(work: Callable[[], object]) -> dict:
    printed, errors, status = io.StringIO(), io.StringIO(), 0
    with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(errors):
        try:
            work()
        except SystemExit as end:
            status = end.code or 0
        except Exception:
            errors.write(traceback.format_exc())
            status = 1
    return {"status": status, "stdout": printed.getvalue(), "stderr": errors.getvalue()}


def answer(task: dict) -> dict:
    if "code" in task:
        with surroundings(["block"], {}):
            return captured(lambda: exec(compile(task["code"], task["place"], "exec"), {"__name__": "block"}))
    with surroundings([task["module"], *task["arguments"]], task["environment"]):
        return captured(lambda: runpy.run_module(task["module"], run_name="__main__", alter_sys=True))


if __name__ == "__main__":
    answers = [answer(task) for task in json.load(sys.stdin)]
    json.dump(answers, sys.stdout)
