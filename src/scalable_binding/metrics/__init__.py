"""Scores of the standard protocols: masks, key points, parts."""
