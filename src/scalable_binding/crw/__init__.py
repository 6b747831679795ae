"""Contrastive random walk: learn what goes where from unlabeled video (thesis 3.1-3.5)."""
