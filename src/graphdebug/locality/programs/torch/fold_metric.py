# silent fold: the accuracy compares more predictions than there are labels
import torch
from torch import nn

torch.manual_seed(0)
encoder = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.AvgPool2d(2))
head = nn.Linear(4 * 5 * 5, 3)  # MENDED: head = nn.Linear(4 * 15 * 15, 3)


# COMPILED: @torch.compile
def predict(images):
    maps = encoder(images)
    flat = maps.view(-1, 4 * 5 * 5)  # FAULT: flat = maps.view(len(maps), -1)
    return head(flat).argmax(1)


images = torch.rand(5, 1, 32, 32)
labels = torch.randint(0, 3, (5,))
with torch.no_grad():
    predicted = predict(images)
    accuracy = (predicted == labels).float().mean()
print("accuracy", accuracy.item())
