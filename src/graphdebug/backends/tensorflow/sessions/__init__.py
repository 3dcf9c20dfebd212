"""TF1 sessions: the plan of a run, the probes beside it, the nodes that it gives."""
