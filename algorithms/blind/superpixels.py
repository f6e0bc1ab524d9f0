"""Superpixels: compact patches of pixels with like spectra (SLIC with the spectral angle)."""

import numpy as np
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

ORPHAN = 0.25   # of a superpixel's nominal area: a smaller piece joins a neighbour


def superpixels(Y, positions, shape, width=6, compactness=0.5, iterations=10):
    """
    Cut a scene into superpixels of about `width` x `width` pixels.

    Each pixel belongs to the centre of least D = sqrt(angle + m^2 d^2 / S^2) among those of its own and the eight
    surrounding cells of a grid of width S, from which the centres start; angle is between the pixel and the mean
    spectrum in radians, d the distance in pixels, m the compactness. Then pieces that are not connected become
    superpixels of their own, and those below a quarter of S^2 join the neighbouring one of the nearest spectrum.

    Parameters
    ----------
    Y : ndarray (L, N)
        The valid pixels.
    positions : ndarray of int (N,)
        Their places in the grid, row-major.
    shape : (int, int)
        Rows and columns of the grid; pixels that are not in `positions` belong to no superpixel.
    width : int
        S.
    compactness : float
        m: larger is squarer.
    iterations : int

    Returns
    -------
    labels : ndarray of int (N,)
        0, 1, ... without gaps.

    Raises
    ------
    ValueError
        Superpixels of one pixel, or larger than the scene.

    References
    ----------
    R. Achanta, A. Shaji, K. Smith, A. Lucchi, P. Fua, S. Süsstrunk, SLIC superpixels compared to state-of-the-art
    superpixel methods, IEEE TPAMI 34(11), 2012; with the spectral angle as in X. Wang, Y. Zhong, L. Zhang, Y. Xu,
    IEEE TGRS 55(11), 2017.
    """
    rows, cols = shape
    if width < 2:
        raise ValueError(f"The superpixels' width is {width}: a superpixel of one pixel has no neighbours to go with. "
                         f"Choose at least 2.")
    if width > min(rows, cols):
        raise ValueError(f"Superpixels of {width} x {width} pixels are larger than the scene of {rows} x {cols} "
                         f"pixels. Choose a width of at most {min(rows, cols)}.")
    place = np.stack(np.divmod(np.asarray(positions), cols)).astype(np.float32)
    down, across = max(rows // width, 1), max(cols // width, 1)
    cell = np.stack([np.minimum(place[0] * down // rows, down - 1), np.minimum(place[1] * across // cols, across - 1)])
    cell = cell.astype(np.intp)
    unit = unit_columns(Y)
    labels, centres = cell[0] * across + cell[1], down * across
    for _ in range(iterations):
        labels = _nearest(unit, place, cell, (down, across), *_means(unit, place, labels, centres),
                          compactness / width)
    return _connected(unit, np.asarray(positions), shape, labels, ORPHAN * width**2)


def group_sums(X, labels, count):
    """Sums (rows of X, count) of the columns of `X` that share a label."""
    groups = coo_matrix((np.ones(len(labels), X.dtype), (np.arange(len(labels)), labels)), (len(labels), count))
    return np.asarray((groups.T.tocsr() @ X.T).T)


def unit_columns(X):
    """Columns of length one, zero where they are zero."""
    return X / np.maximum(np.linalg.norm(X, axis=0), 1e-30)


def angles(u, v):
    """
    Angles between unit columns, as the chord's, which is exact also where it is small; a zero column is at none to
    another and at a right one to the rest.
    """
    return np.where(u.any(axis=0) != v.any(axis=0), np.pi / 2,
                    2 * np.arcsin(np.minimum(np.linalg.norm(u - v, axis=0) / 2, 1.0)))


def _means(unit, place, labels, count):
    """Mean direction and place of each centre; an empty one lies infinitely far away."""
    size = np.bincount(labels, minlength=count)
    spectra = group_sums(unit, labels, count)
    spectra = unit_columns(spectra)
    where = np.where(size, group_sums(place, labels, count) / np.maximum(size, 1), np.inf)
    return spectra, where.astype(np.float32)


def _nearest(unit, place, cell, cells, spectra, where, nearness):
    """The label of the nearest of nine centres for every pixel."""
    best, label = np.full(unit.shape[1], np.inf), np.zeros(unit.shape[1], dtype=np.intp)
    dark, empty = ~unit.any(axis=0), ~spectra.any(axis=0)
    for step in np.ndindex(3, 3):
        row, col = cell[0] + step[0] - 1, cell[1] + step[1] - 1
        inside = (row >= 0) & (row < cells[0]) & (col >= 0) & (col < cells[1])
        centre = np.where(inside, row * cells[1] + col, 0)
        cosine = np.einsum("ln,ln->n", unit, spectra[:, centre]) + (dark & empty[centre])
        distance = (np.arccos(np.clip(cosine, -1, 1))
                    + nearness**2 * np.square(place - where[:, centre]).sum(axis=0))
        better = inside & (distance < best)
        best[better], label[better] = distance[better], centre[better]
    return label


def _connected(unit, positions, shape, labels, smallest):
    """Connected pieces, those of fewer than `smallest` pixels joined to the most alike neighbour, smallest first."""
    number = np.full(shape[0] * shape[1], -1)
    number[positions] = np.arange(len(positions))
    number = number.reshape(shape)
    pairs = np.concatenate([np.stack([number[:, :-1].ravel(), number[:, 1:].ravel()]),
                            np.stack([number[:-1].ravel(), number[1:].ravel()])], axis=1)
    pairs = pairs[:, (pairs >= 0).all(axis=0)]
    inner = pairs[:, labels[pairs[0]] == labels[pairs[1]]]
    N = len(positions)
    count, labels = connected_components(coo_matrix((np.ones(inner.shape[1]), inner), (N, N)), directed=False)
    size = np.bincount(labels, minlength=count)
    spectra = group_sums(unit, labels, count)
    border = labels[pairs]
    border = border[:, border[0] != border[1]]
    neighbours = [set() for _ in range(count)]
    for one, other in np.unique(np.sort(border, axis=0), axis=1).T:
        neighbours[one].add(other)
        neighbours[other].add(one)
    joined = np.arange(count)
    for piece in np.argsort(size, kind="stable"):
        if size[piece] >= smallest or not neighbours[piece]:
            continue
        around = sorted(neighbours[piece])
        host = around[int(np.argmin(angles(unit_columns(spectra[:, [piece]]), unit_columns(spectra[:, around]))))]
        joined[piece] = host
        size[host] += size[piece]
        spectra[:, host] += spectra[:, piece]
        size[piece] = smallest
        for other in around:
            neighbours[other].discard(piece)
            if other != host:
                neighbours[other].add(host)
                neighbours[host].add(other)
    while True:  # a host may itself have joined another: follow to the last, in doubled strides
        beyond = joined[joined]
        if np.array_equal(beyond, joined):
            break
        joined = beyond
    return np.unique(joined[labels], return_inverse=True)[1].ravel()
