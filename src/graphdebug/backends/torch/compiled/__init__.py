"""Compiled programs: the graphs of torch.compile recorded node by node, with the user's lines."""
