# in-place: the discriminator's step changes its weights before the generator's backward
import torch
from torch import nn

torch.manual_seed(0)
generator, discriminator = nn.Linear(4, 8), nn.Sequential(nn.Linear(8, 8), nn.LeakyReLU(), nn.Linear(8, 1))
g_optimizer = torch.optim.SGD(generator.parameters(), lr=0.1)
d_optimizer = torch.optim.SGD(discriminator.parameters(), lr=0.1)
fake = generator(torch.randn(16, 4))
verdict = discriminator(fake)
d_loss = verdict.mean() - discriminator(torch.randn(16, 8)).mean()
d_optimizer.zero_grad()
d_loss.backward(retain_graph=True)
d_optimizer.step()  # FAULT: d_optimizer.step(); verdict = discriminator(fake)
g_loss = -verdict.mean()
g_optimizer.zero_grad()
g_loss.backward()
g_optimizer.step()
print("d", d_loss.item(), "g", g_loss.item())
