"""A small, really trained text-to-video model of Wan2.1's architecture, and everything that made it."""
