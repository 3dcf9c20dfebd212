# a policy gradient whose loss changes sign, and Q-learning with a target network
import torch
import torch.nn as nn

torch.manual_seed(0)
pi = nn.Sequential(nn.Linear(1, 8), nn.Tanh(), nn.Linear(8, 3))
opt = torch.optim.Adam(pi.parameters(), lr=0.05)
for _ in range(50):
    d = torch.distributions.Categorical(logits=pi(torch.ones(16, 1)))
    a = d.sample()
    r = (a == 2).float() * 5 + torch.randn(16)
    loss = -(d.log_prob(a) * (r - r.mean())).mean()
    opt.zero_grad()
    loss.backward()
    opt.step()
q = nn.Sequential(nn.Linear(4, 64), nn.ReLU(), nn.Linear(64, 2))
tgt = nn.Sequential(nn.Linear(4, 64), nn.ReLU(), nn.Linear(64, 2))
tgt.load_state_dict(q.state_dict())
oq = torch.optim.Adam(q.parameters(), lr=5e-3)
for i in range(80):
    s = torch.randn(32, 4)
    r = s.sum(1) * (1 + i / 20)
    with torch.no_grad():
        y = r + 0.95 * tgt(torch.randn(32, 4)).max(1)[0]
    loss = nn.functional.mse_loss(q(s).gather(1, torch.randint(0, 2, (32, 1))).squeeze(1), y)
    oq.zero_grad()
    loss.backward()
    oq.step()
    if i % 20 == 0:
        tgt.load_state_dict(q.state_dict())
print(loss.item())
