"""The recipe of the embedded weights: an image tower learns words, a text tower captions."""
