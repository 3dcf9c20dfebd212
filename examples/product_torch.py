"""c = a * b in PyTorch: the graph is made while it runs, and autograd walks it backward."""

import torch

import graphdebug

with graphdebug.record("product_torch.jsonl", level="values", gradients="all") as run:
    a = torch.tensor(15.0, requires_grad=True)
    b = torch.tensor(20.0, requires_grad=True)
    c = a * b
    c.backward()

print(f"c = {c.item():g}, dc/da = {a.grad.item():g}, dc/db = {b.grad.item():g}")
for node in run.nodes:
    line, values = node.site.line if node.site else "?", [fact.values for fact in node.outputs]
    print(f"{node.phase:9} {node.function:14} line {line}  {values}")
for gradient in run.gradients:
    print(f"gradient of {gradient.name or f'node {gradient.node}'}: {gradient.fact.values}")
