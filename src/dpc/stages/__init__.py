"""Stages: read inputs, make one library call, write atomically. Both engines and the CLI run them."""
