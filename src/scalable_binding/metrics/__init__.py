"""Scores of the standard protocols: masks, key points, parts, sets of generated samples."""
