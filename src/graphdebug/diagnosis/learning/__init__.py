"""Learning: gradients over the steps, and parameters that learn nothing."""
