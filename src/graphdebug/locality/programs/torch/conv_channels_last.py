# shape: a convolution is given images with the channels last
import torch
from torch import nn

torch.manual_seed(0)
net = nn.Sequential(nn.Conv2d(3, 16, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 2))
net = net.train()  # COMPILED: net = torch.compile(net.train())
photos = torch.rand(8, 64, 64, 3)  # FAULT: photos = torch.rand(8, 64, 64, 3).permute(0, 3, 1, 2)
classes = torch.randint(0, 2, (8,))
scores = net(photos)  # FAULT
loss = nn.functional.cross_entropy(scores, classes)
loss.backward()
print(loss.item())
