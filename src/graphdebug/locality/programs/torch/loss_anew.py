# misuse: backward runs from a new tensor made of the loss's number
import torch
from torch import nn

torch.manual_seed(0)
model = nn.Linear(5, 3)  # COMPILED: model = torch.compile(nn.Linear(5, 3))
x, labels = torch.randn(9, 5), torch.randint(0, 3, (9,))
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
for epoch in range(4):
    output = nn.functional.cross_entropy(model(x), labels)
    loss = torch.tensor(output.item(), requires_grad=True)  # FAULT: loss = output
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    print("epoch", epoch, "loss", loss.item())
