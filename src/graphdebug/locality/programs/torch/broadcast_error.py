# broadcast: predictions of shape (N, 1) against targets of shape (N,)
import torch
from torch import nn

torch.manual_seed(0)
x = torch.randn(40, 3)
y = x.sum(dim=1)  # FAULT: y = x.sum(dim=1, keepdim=True)
model = nn.Sequential(nn.Linear(3, 16), nn.ReLU(), nn.Linear(16, 1))
model.train()  # COMPILED: model = torch.compile(model)
optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
for epoch in range(3):
    prediction = model(x)
    loss = ((prediction - y) ** 2).mean()  # FAULT
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    print("epoch", epoch, "loss", loss.item())
