"""CLIP: sentences, weights, towers that take prompts, and features; it knows no backbone."""
