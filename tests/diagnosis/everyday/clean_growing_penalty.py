# loss term with growing weight (KL annealing), high but fine lr
import torch
import torch.nn as nn

torch.manual_seed(0)
X = torch.randn(256, 12)
enc, dec = nn.Linear(12, 8), nn.Linear(4, 12)
opt = torch.optim.Adam([*enc.parameters(), *dec.parameters()], lr=0.02)
for i in range(100):
    mu, lv = enc(X).chunk(2, 1)
    z = mu + torch.randn_like(mu) * (lv / 2).exp()
    rec = ((dec(z) - X) ** 2).sum(1).mean()
    kl = -0.5 * (1 + lv - mu**2 - lv.exp()).sum(1).mean()
    loss = rec + min(1, i / 50) * kl
    opt.zero_grad()
    loss.backward()
    opt.step()
print(loss.item())
