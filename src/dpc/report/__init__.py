"""The result page and its files: evaluated rows in, names and bytes out."""
