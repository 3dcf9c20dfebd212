import torch
import torch.nn as nn

torch.manual_seed(0)


class Seq2Seq(nn.Module):
    def __init__(self, v, d):
        super().__init__()
        self.src, self.tgt = nn.Embedding(v, d), nn.Embedding(v, d)
        self.tr = nn.Transformer(d, 4, 1, 1, 64, batch_first=True)
        self.out = nn.Linear(d, v)

    def make_masks(self, src, tgt):
        causal = nn.Transformer.generate_square_subsequent_mask(tgt.size(1))
        return causal, src == 0, tgt == 0

    def forward(self, src, tgt):
        causal, sp, tp = self.make_masks(src, tgt)
        h = self.tr(  # <- fault
            self.src(src),
            self.tgt(tgt),
            tgt_mask=causal,
            src_key_padding_mask=sp,
            tgt_key_padding_mask=tp,
            memory_key_padding_mask=tp,
        )
        return self.out(h)


net = Seq2Seq(30, 32)
src, tgt = torch.randint(1, 30, (8, 13)), torch.randint(1, 30, (8, 9))
for _ in range(2):
    loss = nn.functional.cross_entropy(net(src, tgt[:, :-1]).transpose(1, 2), tgt[:, 1:])
    loss.backward()
