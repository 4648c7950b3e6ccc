"""Typed parameters: one definition for validation, for params.yaml's comments and for the docs."""
