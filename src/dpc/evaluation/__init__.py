"""Accuracy of logits, and the statistics that the tables print."""
