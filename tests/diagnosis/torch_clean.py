"""Clean programs, many of them near misses: nothing may be found in any of them."""

import math

import torch
import torch.nn.functional as F
from torch import nn

V = 7


def _trained(net, x, y, loss, steps=6, lr=0.05):
    opt = torch.optim.SGD(net.parameters(), lr=lr)
    for _ in range(steps):
        opt.zero_grad()
        loss(net(x), y).backward()
        opt.step()


class Cnn(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(1, 4, 3, padding=1)
        self.bn = nn.BatchNorm2d(4)
        self.drop = nn.Dropout(0.2)
        self.fc = nn.Linear(4 * 14 * 14, 10)

    def forward(self, x):
        x = F.max_pool2d(F.relu_(self.bn(self.conv(x))), 2)
        return self.fc(self.drop(x.view(-1, 4 * 14 * 14)))


def cnn():
    _trained(Cnn(), torch.randn(9, 1, 28, 28), torch.randint(0, 10, (9,)), F.cross_entropy)


# Legitimate merges and splits of the batch.


def merge_batch_and_time():
    logits = nn.Linear(8, V)(torch.randn(4, 6, 8))
    F.cross_entropy(logits.view(-1, V), torch.randint(0, V, (4, 6)).view(-1)).backward()


def merge_time_then_split_again():
    x = torch.randn(4, 6, 8)
    h = nn.Linear(8, 5)(x.reshape(-1, 8)).reshape(4, 6, 5)
    h.sum().backward()


def heads():
    x = nn.Linear(12, 12)(torch.randn(4, 6, 12))
    q = x.view(4, 6, 3, 4).transpose(1, 2)
    a = torch.softmax(q @ q.transpose(-1, -2) / 2, -1) @ q
    nn.Linear(12, 2)(a.transpose(1, 2).reshape(4, 6, 12)).sum().backward()


def heads_into_batch():
    x = nn.Linear(12, 12)(torch.randn(4, 6, 12))
    nn.Linear(4, 2)(x.view(-1, 4)).sum().backward()


def heads_merged_with_batch():
    x = nn.Linear(12, 12)(torch.randn(4, 6, 12))
    q = x.view(4, 6, 3, 4).transpose(1, 2).reshape(12, 6, 4)
    torch.bmm(q, q.transpose(1, 2)).sum().backward()


def patches():
    x = torch.randn(2, 3, 8, 8)
    p = x.view(2, 3, 2, 4, 2, 4).permute(0, 2, 4, 1, 3, 5).reshape(-1, 3 * 4 * 4)
    nn.Linear(48, 5)(p).sum().backward()


def frames_of_video_as_images():
    video = torch.randn(2, 5, 3, 8, 8)
    h = nn.Conv2d(3, 4, 3)(video.view(-1, 3, 8, 8)).flatten(1)
    nn.Linear(4 * 36, 2)(h).view(2, 5, 2).mean(1).sum().backward()


def channels_as_samples():
    x = nn.Conv2d(1, 6, 3)(torch.randn(4, 1, 10, 10))
    nn.Linear(64, 3)(x.view(-1, 64)).sum().backward()


def groups_of_channels():
    x = nn.Conv2d(1, 8, 3)(torch.randn(4, 1, 10, 10))
    nn.Conv2d(4, 2, 3)(x.view(-1, 4, 8, 8)).sum().backward()


def pairs_of_samples():
    x = nn.Linear(3, 5)(torch.randn(8, 3))
    nn.Linear(10, 1)(x.view(4, 10)).sum().backward()


def anchors_of_a_detector():
    x = nn.Conv2d(3, 3 * 4, 1)(torch.randn(2, 3, 5, 5))
    boxes = x.permute(0, 2, 3, 1).reshape(2, -1, 4)
    F.smooth_l1_loss(boxes.reshape(-1, 4), torch.zeros(2 * 75, 4)).backward()


def language_model_batches():
    stream = torch.arange(100)
    data = stream[:96].view(4, -1).t().contiguous()
    out = nn.Linear(8, V)(nn.Embedding(100, 8)(data[:5]))
    F.cross_entropy(out.reshape(-1, V), torch.randint(0, V, (20,))).backward()


def ensemble_repeated():
    x = torch.randn(4, 6)
    out = nn.Linear(6, 3)(x.repeat(5, 1))
    out.view(5, 4, 3).mean(0).sum().backward()


def pixel_classes():
    out = nn.Conv2d(3, V, 1)(torch.randn(2, 3, 6, 6))
    F.cross_entropy(out.permute(0, 2, 3, 1).reshape(-1, V), torch.randint(0, V, (72,))).backward()


def channel_shuffle():
    x = nn.Conv2d(3, 8, 1)(torch.randn(2, 3, 6, 6))
    y = x.view(2, 2, 4, 6, 6).transpose(1, 2).reshape(2, 8, 6, 6)
    nn.Conv2d(8, 2, 1)(y).sum().backward()


def squeeze_single_channel():
    x = torch.randn(4, 1, 6, 6)
    nn.Linear(36, 2)(x.view(4, 36)).sum().backward()


# Infinities and NaN that are meant, or hidden with their gradient.


def causal_attention():
    q = nn.Linear(8, 8)(torch.randn(2, 5, 8))
    mask = torch.triu(torch.full((5, 5), float("-inf")), diagonal=1)
    a = torch.softmax(q @ q.transpose(1, 2) + mask, -1)
    (a @ q).sum().backward()


def masked_fill_attention():
    q = nn.Linear(8, 8)(torch.randn(2, 5, 8))
    mask = torch.tril(torch.ones(5, 5)) == 0
    a = torch.softmax((q @ q.transpose(1, 2)).masked_fill(mask, -math.inf), -1)
    (a @ q).sum().backward()


def best_so_far():
    best = torch.tensor(float("inf"))
    net = nn.Linear(2, 1)
    for _ in range(3):
        loss = net(torch.randn(4, 2)).pow(2).mean()
        best = torch.minimum(best, loss.detach())
    print(best.item())


def best_so_far_of_a_training():
    best, least = torch.tensor(float("inf")), torch.tensor([-math.inf, -math.inf])
    net = nn.Linear(2, 1)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    for _ in range(4):
        loss = net(torch.randn(4, 2)).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if loss < best:
            best = loss.detach()
        least = torch.maximum(least, net.weight.detach()[0])


def never_better():
    best = torch.tensor(float("inf"))
    for value in torch.rand(3):
        print(bool(value > best))


def safe_where():
    x = torch.tensor([0.0, 1.0, 2.0], requires_grad=True)
    safe = torch.where(x > 0, x, torch.ones(()))
    torch.where(x > 0, torch.log(safe), torch.zeros(())).sum().backward()


def log_masked_without_gradient():
    x = torch.tensor([0.0, 1.0, 2.0])
    y = torch.where(x > 0, torch.log(x), torch.zeros(()))
    nn.Linear(3, 1)(y).sum().backward()


def ratio_made_finite():
    x = torch.tensor([0.0, 1.0])
    y = torch.nan_to_num(x / x)
    print(y.sum().item())


def scaler_skips_a_step():
    net = nn.Linear(4, 1)
    opt = torch.optim.SGD(net.parameters(), lr=0.01)
    scaler = torch.amp.GradScaler("cpu", init_scale=2.0**127)
    for _ in range(3):
        opt.zero_grad()
        loss = (net(torch.randn(8, 4)) * 100).pow(2).mean()
        scaler.scale(loss).backward()
        scaler.step(opt)
        scaler.update(2.0**10)


def loss_that_falls():
    x = torch.randn(32, 3)
    _trained(nn.Linear(3, 1), x, x.sum(1, keepdim=True), F.mse_loss, 15, 0.1)


def score_that_grows():
    total = torch.zeros(())
    for step in range(20):
        total = total + step
    print(total.item())


# Broadcasting, axes, in-place and dtype done right.


def distances():
    x = torch.randn(6, requires_grad=True)
    (x.unsqueeze(1) - x).pow(2).mean().backward()


def column_scaled():
    x = torch.randn(6, 3, requires_grad=True)
    (x * torch.rand(6, 1)).sum().backward()


def residual():
    conv = nn.Conv2d(4, 4, 3, padding=1)
    x = torch.randn(1, 4, 8, 8)
    torch.relu_(x + conv(x)).sum().backward()


def attention_over_steps_first():
    h = nn.Linear(4, 1)(torch.randn(7, 3, 4))
    torch.softmax(h, 0).sum().backward()


def caught_and_handled():
    try:
        nn.Linear(3, 2)(torch.randn(2, 4))
    except RuntimeError:
        nn.Linear(4, 2)(torch.randn(2, 4)).sum().backward()


def frozen_backbone():
    back, head = nn.Linear(4, 4), nn.Linear(4, 1)
    back.requires_grad_(False)
    net = nn.Sequential(back, nn.ReLU(), head)
    opt = torch.optim.Adam(head.parameters(), lr=0.01)
    for _ in range(5):
        opt.zero_grad()
        net(torch.randn(8, 4)).pow(2).mean().backward()
        opt.step()


def recurrent():
    rnn = nn.LSTM(3, 5, batch_first=True)
    head = nn.Linear(5, 1)
    opt = torch.optim.Adam([*rnn.parameters(), *head.parameters()])
    for _ in range(4):
        opt.zero_grad()
        out, _ = rnn(torch.randn(4, 6, 3))
        head(out[:, -1]).pow(2).mean().backward()
        opt.step()


def transformer_layer():
    layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
    mask = nn.Transformer.generate_square_subsequent_mask(5)
    opt = torch.optim.AdamW(layer.parameters())
    for _ in range(3):
        opt.zero_grad()
        layer(torch.randn(2, 5, 8), src_mask=mask).pow(2).mean().backward()
        opt.step()


def evaluated_without_gradient():
    net = Cnn().eval()
    with torch.no_grad():
        p = torch.softmax(net(torch.randn(3, 1, 28, 28)), 1)
        print((-(p * torch.log(p + 1e-9)).sum(1)).mean().item())


def gradient_of_input():
    x = torch.randn(3, 4, requires_grad=True)
    g = torch.autograd.grad(nn.Linear(4, 1)(x).sum(), x, create_graph=True)[0]
    (g.norm(dim=1) - 1).pow(2).mean()


class Norm(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(width))

    def forward(self, h):
        inverse = (h.var(1, keepdim=True) + 1e-5).rsqrt()
        return h * (inverse * self.scale)


def norm_by_hand_as_wide_as_the_batch():
    net, norm = nn.Linear(6, 8), Norm(8)
    norm(net(torch.randn(8, 6))).square().mean().backward()
