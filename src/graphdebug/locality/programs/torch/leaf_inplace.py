# misuse: weights are updated by hand without no_grad
import torch

torch.manual_seed(0)
x = torch.randn(50, 2)
y = x @ torch.tensor([1.5, -0.5])
w = torch.zeros(2, requires_grad=True)
for epoch in range(3):
    loss = ((x @ w - y) ** 2).mean()
    loss.backward()
    w -= 0.1 * w.grad  # FAULT: w.data -= 0.1 * w.grad
    w.grad.zero_()
    print("epoch", epoch, "loss", loss.item())
