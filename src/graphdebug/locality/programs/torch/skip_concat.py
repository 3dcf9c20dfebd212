# shape: a U-Net's upsampled map is one row smaller than the skip connection
import torch
from torch import nn


class UNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.down = nn.Conv2d(1, 8, 3, padding=1)
        self.bottom = nn.Conv2d(8, 16, 3, padding=1)
        self.up = nn.ConvTranspose2d(16, 8, 2, stride=2)  # FAULT: self.up = nn.ConvTranspose2d(16, 8, 3, stride=2)
        self.out = nn.Conv2d(16, 1, 1)

    def forward(self, x):
        skip = torch.relu(self.down(x))
        x = torch.relu(self.bottom(nn.functional.max_pool2d(skip, 2)))  # FAULT
        x = self.up(x)
        x = torch.cat([skip, x], dim=1)  # FAULT
        return self.out(x)


torch.manual_seed(0)
model = UNet()  # COMPILED: model = torch.compile(UNet())
scan = torch.rand(2, 1, 45, 45)
mask = (torch.rand(2, 1, 45, 45) > 0.5).float()
loss = nn.functional.binary_cross_entropy_with_logits(model(scan), mask)
loss.backward()
print("loss", loss.item())
