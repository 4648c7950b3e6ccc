"""dpc: Dual-Prompt Collaboration for CLIP prompt tuning, as a reproducible experiment workflow."""

__version__ = "0.1.0"
