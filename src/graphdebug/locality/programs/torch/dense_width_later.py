# shape: the second batch has another image size than the first
import torch
from torch import nn


def batches():
    for size in (28, 32):  # FAULT: for size in (28, 28):
        yield torch.rand(4, 3, size, size), torch.randint(0, 10, (4,))  # FAULT


torch.manual_seed(0)
features = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.MaxPool2d(2))
classifier = nn.Linear(8 * 13 * 13, 10)  # FAULT
model = nn.Sequential(features, nn.Flatten(), classifier)  # COMPILED: model = torch.compile(nn.Sequential(features, nn.Flatten(), classifier))
optimizer = torch.optim.Adam(model.parameters())
for images, labels in batches():
    optimizer.zero_grad()
    logits = model(images)  # FAULT
    loss = nn.functional.cross_entropy(logits, labels)
    loss.backward()
    optimizer.step()
    print("loss", loss.item())
