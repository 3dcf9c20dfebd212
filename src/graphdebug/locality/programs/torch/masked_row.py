# masked: an attention mask leaves a row with nothing to attend to
import torch
from torch import nn

torch.manual_seed(0)
project = nn.Linear(8, 24)


# COMPILED: @torch.compile
def attention(x, keep):
    q, k, v = project(x).chunk(3, dim=-1)
    scores = q @ k.transpose(1, 2) / 8**0.5
    scores = scores.masked_fill(~keep[:, None, :], float("-inf"))  # FAULT
    weights = torch.softmax(scores, dim=-1)  # FAULT
    return weights @ v


tokens = torch.randn(2, 5, 8)
lengths = torch.tensor([5, 0])  # FAULT: lengths = torch.tensor([5, 2])
keep = torch.arange(5)[None, :] < lengths[:, None]
out = attention(tokens, keep)
loss = out.pow(2).mean()
loss.backward()
print("loss", loss.item())
