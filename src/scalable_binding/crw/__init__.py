"""Contrastive random walk: learn what goes where from unlabelled video (thesis 3.1-3.5)."""
