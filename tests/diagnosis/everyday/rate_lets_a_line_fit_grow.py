# linear regression, unscaled features, hand written loss; loss grows without overflow
import torch
from torch import nn, optim

torch.manual_seed(0)
x = torch.linspace(0, 5, 50).reshape(-1, 1)
t = 3 * x + 1
model = nn.Linear(1, 1)
learning_rate = 0.12  # <- fault
optimizer = optim.SGD(model.parameters(), lr=learning_rate)
for epoch in range(20):
    pred = model(x)
    loss = torch.mean((pred - t) ** 2)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    print(epoch, loss.item())
