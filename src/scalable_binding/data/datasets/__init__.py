"""Datasets to train on: clips, images with classes, digits, and mixtures of them."""
