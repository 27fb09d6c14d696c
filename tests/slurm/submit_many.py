"""Call the command that submits many times in one process: command lines as JSON in, answers as JSON out.

Its start, most of it the import of torch, takes seconds; a call then takes a fraction of one.
"""

import contextlib
import io
import json
import sys


def submit(arguments: list[str]) -> dict:
    from orchestrator.submit import main

    printed, errors = io.StringIO(), io.StringIO()
    sys.argv = ["submit.py", *arguments]
    status = 0
    with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(errors):
        try:
            main()
        except SystemExit as end:
            status = end.code or 0
    return {"status": status, "stdout": printed.getvalue(), "stderr": errors.getvalue()}


if __name__ == "__main__":
    json.dump([submit(arguments) for arguments in json.load(sys.stdin)], sys.stdout)
