"""Render batches of videos: requests, the render engine, gangs, artifacts. Start it with `orchestrator.launch`."""
