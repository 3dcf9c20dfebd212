# shape: a linear layer is declared with the batch size as its width
import torch
from torch import nn

batch_size, features, hidden = 64, 20, 32


class Regressor(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc1 = nn.Linear(batch_size, hidden)  # FAULT: self.fc1 = nn.Linear(features, hidden)
        self.fc2 = nn.Linear(hidden, 1)

    def forward(self, x):
        h = torch.tanh(self.fc1(x))  # FAULT
        return self.fc2(h)


torch.manual_seed(0)
x, y = torch.randn(batch_size, features), torch.randn(batch_size, 1)
model = Regressor()  # COMPILED: model = torch.compile(Regressor())
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
for epoch in range(3):
    optimizer.zero_grad()
    loss = nn.functional.mse_loss(model(x), y)
    loss.backward()
    optimizer.step()
    print(epoch, loss.item())
