"""The only pass over the bands: what least squares needs of each pixel."""

import numpy as np

CHUNK_BYTES = 2**19


def products(Y, M):
    """
    Products of the pixels with the endmembers, and their energy, in float64.

    The rest of every abundance estimate needs these P + 1 numbers per pixel and the Gram matrix M^T M only. Pixels
    are converted chunk by chunk, so that each chunk is converted, multiplied and squared while it is in the cache:
    about twice the time of converting the block alone.

    Parameters
    ----------
    Y : ndarray (L, N)
        Pixels of any real dtype, pixel- or band-interleaved in memory.
    M : ndarray (L, P)
        Endmembers.

    Returns
    -------
    C : ndarray (P, N)
        M^T Y.
    q : ndarray (N,)
        Squared norms of the pixels.
    """
    L, N = Y.shape
    if M.shape[0] != L:
        raise ValueError(f"The endmembers have {M.shape[0]} bands, the image {L}: resample them to the image's bands.")
    Mt = np.ascontiguousarray(M.T, dtype=np.float64)
    C, q = np.empty((Mt.shape[0], N)), np.empty(N)
    size = max(CHUNK_BYTES // (8 * L), 64)
    chunk = np.empty((L, size), order="C" if Y.strides[1] <= Y.strides[0] else "F")
    for start in range(0, N, size):
        stop = min(start + size, N)
        part = chunk[:, :stop - start]
        np.copyto(part, Y[:, start:stop])
        C[:, start:stop] = Mt @ part
        np.einsum("ln,ln->n", part, part, out=q[start:stop])
    return C, q
