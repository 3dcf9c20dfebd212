"""Training: gradients, optimizers, steps and ranks."""
