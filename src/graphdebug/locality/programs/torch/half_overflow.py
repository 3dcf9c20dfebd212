# AMP: a sum of squares overflows half precision
import torch
from torch import nn

torch.manual_seed(0)
encoder = nn.Linear(64, 256)


# COMPILED: @torch.compile
def features(x):
    h = encoder(x).half()  # FAULT: h = encoder(x)
    norm = (h * h).sum(dim=1, keepdim=True)  # FAULT
    return h.float() / norm.float()


x = torch.randn(8, 64) * 100
loss = (features(x) - 0.1).pow(2).mean()
loss.backward()
print("loss", loss.item(), "gradient", encoder.weight.grad.abs().max().item())
