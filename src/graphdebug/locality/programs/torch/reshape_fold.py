# silent fold: a view to a fixed width turns 4 images into 64 rows and the loss fails
import torch
import torch.nn.functional as F
from torch import nn


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 8, 3, padding=1)
        self.conv2 = nn.Conv2d(8, 16, 3, padding=1)
        self.fc = nn.Linear(16 * 7 * 7, 10)  # MENDED: self.fc = nn.Linear(16 * 28 * 28, 10)

    def forward(self, x):
        x = F.max_pool2d(F.relu(self.conv1(x)), 2)
        x = F.max_pool2d(F.relu(self.conv2(x)), 2)
        x = x.view(-1, 16 * 7 * 7)  # FAULT: x = x.view(x.size(0), -1)
        return self.fc(x)


torch.manual_seed(0)
model = Net()  # COMPILED: model = torch.compile(Net())
optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
for step in range(2):
    images, labels = torch.rand(4, 1, 112, 112), torch.randint(0, 10, (4,))
    loss = F.cross_entropy(model(images), labels)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    print("step", step, "loss", loss.item())
