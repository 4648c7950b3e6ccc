"""Stages: read inputs, make one library call, write atomically; engines and CLI run them alike."""
