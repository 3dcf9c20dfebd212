"""Numbers: NaN, Inf, overflow, losses that run away, and the ops they were born in."""
