# dtype: pixels of type uint8 wrap around below zero
import torch
from torch import nn

torch.manual_seed(0)
pixels = torch.randint(0, 256, (8, 1, 16, 16), dtype=torch.uint8)
model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 14 * 14, 2))


# COMPILED: @torch.compile
def normalize(images):
    centred = images - 128  # FAULT: centred = images.float() - 128
    return centred.float() / 128


labels = torch.randint(0, 2, (8,))
optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
for step in range(2):
    loss = nn.functional.cross_entropy(model(normalize(pixels)), labels)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    print("step", step, "loss", loss.item())
