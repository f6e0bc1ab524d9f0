"""What every unrolled network is made of: layers that are iterations, some with the best known parameters, some own."""

import torch


class Unfolded:
    """
    An iteration x_{k+1} = f(x_k; theta_k, y) as a network of K layers (section 2.4, Figures 2.4.1, 4.1 and 4.16).

    The first K - C layers are non-discriminative: they share the optimal parameters and are never changed. The last C
    are discriminative: each has its own parameters, at first the optimal ones, or all of them have one (`shared`).

    Parameters
    ----------
    layer : object
        The iteration, with `prepare(theta, y)` (what depends on the parameters and the shape of the data only, such as
        denominators), `step(x, prepared, y)`, and `start(theta)`, a copy of the parameters to be learned. For
        split-gradient training (4.2.4) also `backward(x, prepared, y, plus, minus)`, see `multiplicative`.
    optimal : parameters
        theta of the non-discriminative layers, as the layer understands them.
    K : int
        Number of layers.
    C : int
        How many of them, the last ones, are discriminative.
    own_layer : object, optional
        The iteration of the discriminative layers, where it differs.
    own : list of parameters, optional
        Trained parameters of the discriminative layers: C of them, or one if `shared`.
    shared : bool
        Whether the discriminative layers are tied to each other.

    Raises
    ------
    ValueError
        Fewer than one layer, more discriminative layers than layers, or another number of own parameters.

    References
    ----------
    G. Chinellato, Deep Unfolding, PhD thesis, Padova 2026, chapters 2 and 4.
    """

    def __init__(self, layer, optimal, K, C, *, own_layer=None, own=None, shared=False):
        if not 1 <= K or not 0 <= C <= K:
            raise ValueError(f"A network of {K} layers cannot have {C} discriminative ones. Choose at least one layer, "
                             f"and at most as many discriminative ones.")
        self.layer, self.optimal, self.K, self.C, self.shared = layer, optimal, K, C, shared
        self.own_layer = own_layer or layer
        count = min(C, 1) if shared else C
        if own is not None and len(own) != count:
            raise ValueError(f"There are parameters for {len(own)} discriminative layers, and the network needs "
                             f"{count}.")
        self.own = [self.own_layer.start(optimal) for _ in range(count)] if own is None else list(own)

    def parameters_of(self, k):
        """theta of discriminative layer k, counted from 0 at layer K - C."""
        return self.own[0 if self.shared else k]

    def forward(self, x, y):
        """x_K from x_0; differentiable by autograd in the discriminative parameters."""
        return self.states(x, y)[-1]

    def settled(self, x, y):
        """x_{K-C}, what the non-discriminative layers make of x_0: training does not change it."""
        with torch.no_grad():
            if self.K > self.C:
                prepared = self.layer.prepare(self.optimal, y)
                for _ in range(self.K - self.C):
                    x = self.layer.step(x, prepared, y)
        return x

    def refined(self, x, y):
        """[x_{K-C}, ..., x_K], the states that the discriminative layers start from and leave."""
        states = [x]
        for k in range(self.C):
            states.append(self.own_layer.step(states[-1], self.own_layer.prepare(self.parameters_of(k), y), y))
        return states

    def states(self, x, y):
        """The same from x_0."""
        return self.refined(self.settled(x, y), y)

    def inference(self, x, y):
        """x_K from x_0 without keeping the states between."""
        with torch.no_grad():
            prepared = self.layer.prepare(self.optimal, y)
            for k in range(self.K):
                if k >= self.K - self.C:
                    prepared = self.own_layer.prepare(self.parameters_of(k - self.K + self.C), y)
                    x = self.own_layer.step(x, prepared, y)
                else:
                    x = self.layer.step(x, prepared, y)
        return x

    def split_gradients(self, states, y, plus, minus):
        """
        Positive and negative parts of the loss's gradient in the own parameters, (2.4.5) and (2.4.6).

        Parameters
        ----------
        states : list
            See `states`.
        y : data
        plus, minus : state
            The parts of the gradient in x_K, both not negative.

        Returns
        -------
        list of (plus, minus, scale)
            For each of the own parameters; the parts times `scale` are the gradient's. Both parts only grow from layer
            to layer, so they are divided by their largest value on the way: the multiplicative step needs their ratio.
        """
        scale, found = 1.0, []
        for k in reversed(range(self.C)):
            largest = float(max(plus.max(), minus.max())) or 1.0
            plus, minus, scale = plus / largest, minus / largest, scale * largest
            prepared = self.own_layer.prepare(self.parameters_of(k), y)
            (plus, minus), (theta_plus, theta_minus) = self.own_layer.backward(states[k], prepared, y, plus, minus)
            found.append((theta_plus, theta_minus, scale))
        found.reverse()
        return [_together(found)] if self.shared and found else found


def _together(parts):
    """The sum of split gradients of layers that share their parameters, at the largest of their scales."""
    largest = max(scale for _, _, scale in parts)
    return (sum(plus * (scale / largest) for plus, _, scale in parts),
            sum(minus * (scale / largest) for _, minus, scale in parts), largest)
