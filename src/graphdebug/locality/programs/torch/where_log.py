# masked: `where` hides the log of zero in forward, and its gradient is NaN all the same
import torch

torch.manual_seed(0)
log_scale = torch.zeros(6, requires_grad=True)
optimizer = torch.optim.SGD([log_scale], lr=0.1)


# COMPILED: @torch.compile
def log_or_zero(x):
    return torch.where(x > 0, torch.log(x), torch.zeros_like(x))  # FAULT: return torch.where(x > 0, torch.log(torch.where(x > 0, x, torch.ones_like(x))), torch.zeros_like(x))


counts = torch.randint(0, 4, (10, 6)).float()
for step in range(3):
    rates = counts * torch.exp(log_scale)
    loss = (log_or_zero(rates) - 1).pow(2).mean()
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    print(f"step {step} loss {loss.item():.5f}")
