# misuse: labels count from 1 to 10 where the loss counts from 0 to 9
import torch
from torch import nn

torch.manual_seed(0)
model = nn.Linear(20, 10)  # FAULT
images = torch.rand(30, 20)
digits = torch.arange(30) % 10 + 1  # FAULT: digits = torch.arange(30) % 10
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
for epoch in range(2):
    loss = nn.functional.cross_entropy(model(images), digits)  # FAULT
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    print("epoch", epoch, "loss", loss.item())
