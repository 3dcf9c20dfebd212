# shape: convolutions without padding where the dense layer assumes they keep the size
import torch
from torch import nn


class Digits(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 8, kernel_size=5)  # FAULT: self.conv1 = nn.Conv2d(1, 8, kernel_size=5, padding=2)
        self.conv2 = nn.Conv2d(8, 16, kernel_size=5)  # FAULT: self.conv2 = nn.Conv2d(8, 16, kernel_size=5, padding=2)
        self.fc1 = nn.Linear(16 * 7 * 7, 64)  # FAULT
        self.fc2 = nn.Linear(64, 10)

    def forward(self, x):
        x = torch.max_pool2d(self.conv1(x).relu(), 2)
        x = torch.max_pool2d(self.conv2(x).relu(), 2)
        x = torch.flatten(x, 1)
        x = self.fc1(x).relu()  # FAULT
        return self.fc2(x)


torch.manual_seed(0)
model = Digits()  # COMPILED: model = torch.compile(Digits())
images, labels = torch.rand(5, 1, 28, 28), torch.randint(0, 10, (5,))
loss = nn.functional.cross_entropy(model(images), labels)
loss.backward()
print("loss", loss.item())
