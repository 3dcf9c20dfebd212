# divergence: a learning rate too large, the loss grows until it overflows
import torch
from torch import nn

torch.manual_seed(0)
x = torch.randn(100, 3) * 10
y = x @ torch.tensor([[1.0], [-2.0], [0.5]]) + 3
model = nn.Linear(3, 1)  # COMPILED: model = torch.compile(nn.Linear(3, 1))
optimizer = torch.optim.SGD(model.parameters(), lr=1.0)  # FAULT: optimizer = torch.optim.SGD(model.parameters(), lr=1e-3)
for epoch in range(30):
    optimizer.zero_grad()
    loss = ((model(x) - y) ** 2).mean()
    loss.backward()
    optimizer.step()
    if epoch % 5 == 4:
        print(f"epoch {epoch} loss {loss.item()}")
