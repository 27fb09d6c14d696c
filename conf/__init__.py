"""Values only: Hydra's groups of settings, as YAML."""
