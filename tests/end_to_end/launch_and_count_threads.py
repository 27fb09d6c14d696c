"""The main command, and then how many threads of gloo's are left in this process."""

import sys
from pathlib import Path

from orchestrator.launch import main

try:
    main()
except SystemExit as end:
    if end.code:
        raise
names = [(task / "comm").read_text().strip() for task in Path("/proc/self/task").iterdir()]
sys.stdout.write(f"left: {sum('gloo' in name for name in names)}\n")
sys.exit(0)
