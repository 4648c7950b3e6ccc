"""Prompts from elsewhere, and prompts for elsewhere: files of other programs."""
