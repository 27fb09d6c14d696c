"""How a command ends, and what it says then."""

import pytest

from orchestrator import command
from orchestrator.errors import BadInput, GangFailed, OrchestratorError

HOSTILE = "ValueError: \x1b]0;owned\x07 \u202e\n  at \x1b[36mray::do()\x1b[39m\r"


@pytest.mark.parametrize(("error", "status"), [(GangFailed(HOSTILE), 1), (BadInput(HOSTILE), 2)])
def test_error_that_quotes_a_prompt_steers_no_terminal(monkeypatch, capsys, error: OrchestratorError, status):
    def fail(_console):
        raise error

    monkeypatch.setattr(command, "_check_single_run", lambda: None)
    with pytest.raises(SystemExit) as ended:
        command.run_command(fail)
    assert ended.value.code == status
    said = capsys.readouterr().err
    assert said.startswith("error: ValueError: ") and "owned" in said and "ray::do()" in said
    assert all(sign.isprintable() or sign == "\n" for sign in said)
