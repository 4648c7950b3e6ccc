"""Hydra's config groups of the package: presets, each a short file of differences."""
