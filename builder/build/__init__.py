"""Build: one build, from its session to the delivered files."""
