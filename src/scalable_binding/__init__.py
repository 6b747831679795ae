"""Pre-training without labels: RIN, CRW and CARML."""
