"""Typed parameters: one definition for validation, for the comments of params.yaml and for its docs."""
