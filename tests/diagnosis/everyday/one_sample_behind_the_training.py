# single sample after training, gradients on: no block says so
import torch
import torch.nn as nn

torch.manual_seed(0)
model = nn.Sequential(nn.Linear(5, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Linear(16, 1))
opt = torch.optim.SGD(model.parameters(), lr=0.05)
X = torch.randn(120, 5)
Y = X.sum(1, keepdim=True)
for _e in range(3):
    for i in range(0, 120, 30):
        loss = nn.MSELoss()(model(X[i : i + 30]), Y[i : i + 30])
        opt.zero_grad()
        loss.backward()
        opt.step()
new = torch.randn(1, 5)
print(model(new))  # <- fault
