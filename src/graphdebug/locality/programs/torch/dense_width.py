# shape: a CNN for 28x28 images is fed 100x100
import torch
from torch import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 16, 5, padding=2)
        self.conv2 = nn.Conv2d(16, 32, 5, padding=2)
        self.pool = nn.MaxPool2d(2)
        self.fc = nn.Linear(32 * 7 * 7, 10)  # FAULT: self.fc = nn.Linear(32 * 25 * 25, 10)

    def forward(self, x):
        x = self.pool(torch.relu(self.conv1(x)))
        x = self.pool(torch.relu(self.conv2(x)))
        x = x.flatten(1)
        return self.fc(x)  # FAULT


torch.manual_seed(0)
model = Net()  # COMPILED: model = torch.compile(Net())
optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
criterion = nn.CrossEntropyLoss()
for step in range(2):
    images = torch.rand(4, 1, 100, 100)
    labels = torch.randint(0, 10, (4,))
    optimizer.zero_grad()
    loss = criterion(model(images), labels)
    loss.backward()
    optimizer.step()
    print("step", step, "loss", loss.item())
