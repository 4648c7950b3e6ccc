"""DPC: hard negatives, the contrastive loss, stage two and the weighting; it knows no backbone."""
