"""Training of any model under any ``loss(model, batch, generator) -> (loss, metrics)``."""
