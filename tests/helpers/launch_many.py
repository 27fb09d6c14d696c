"""Call the main command many times in one process: `launch_many.py < command lines as JSON`, answers as JSON.

Each answer holds the exit status, what was printed, which libraries had been imported by then, and which processes
had been started.
"""

import json
import sys

from run_modules import captured

WATCHED = ("torch", "diffusers", "transformers", "ray", "imageio", "orchestrator.run")
STARTS = ("subprocess.Popen", "os.fork", "os.forkpty", "os.posix_spawn", "os.exec", "os.spawn", "os.system")

started: list[str] = []
sys.addaudithook(lambda event, _arguments: started.append(event) if event in STARTS else None)


def launch(arguments: list[str]) -> dict:
    from orchestrator.launch import main

    sys.argv = ["launch.py", *arguments]
    answer = captured(main)
    return answer | {
        "imported": [name for name in WATCHED if name in sys.modules],
        "started": list(started),
    }


if __name__ == "__main__":
    json.dump([launch(arguments) for arguments in json.load(sys.stdin)], sys.stdout)
