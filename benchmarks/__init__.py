"""Every figure in the README is printed by a command here. Each has --help, --quick and --json FILE."""
