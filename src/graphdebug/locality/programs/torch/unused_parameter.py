# gradient: a layer's output is thrown away, so its weights never learn
import torch
from torch import nn


class Classifier(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc1 = nn.Linear(6, 16)
        self.fc2 = nn.Linear(16, 16)  # FAULT
        self.fc3 = nn.Linear(16, 2)

    def forward(self, x):
        x = torch.relu(self.fc1(x))
        y = torch.relu(self.fc2(x))  # FAULT
        return self.fc3(x)  # FAULT: return self.fc3(y)


torch.manual_seed(0)
model = Classifier()  # COMPILED: model = torch.compile(Classifier())
optimizer = torch.optim.SGD(model.parameters(), lr=0.05)
x, y = torch.randn(24, 6), torch.randint(0, 2, (24,))
for step in range(4):
    loss = nn.functional.cross_entropy(model(x), y)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    print("step", step, "loss", loss.item())
