# shape: a matrix product is given a vector
import torch

torch.manual_seed(0)
weights = torch.randn(7, 3, requires_grad=True)


# COMPILED: @torch.compile
def scores(sample):
    return torch.mm(sample, weights)  # FAULT: return torch.mm(sample[None], weights)


sample = torch.randn(7)  # FAULT
loss = scores(sample).pow(2).sum()
loss.backward()
print("loss", loss.item())
