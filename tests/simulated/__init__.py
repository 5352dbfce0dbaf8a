"""GPUs that a processor plays, so that what only a GPU does is tested where there is none.

Tensors say they are on a GPU, and their numbers are computed at once, in host memory. What a real GPU would
refuse, or answer wrongly to, is refused: tensors of two devices in one operation, work that reads what
another CUDA stream may not have made yet, memory that is given out again while one may still use it, a
capture that waits or reads what is freed, an attention kernel called with what it does not take. Memory that
nobody wrote holds NaN, and so does what a graph made once an earlier one of its pool is replayed, which may
lie in the same place.

It knows nothing of speed, of other threads, or of how products round.

    tensors     that say they are on a GPU
    order       streams, and who must have waited for whom
    graphs      captured work
    kernels     attention
    device      what an operation does, and may not do
    driver      what stands in for torch.cuda
"""
